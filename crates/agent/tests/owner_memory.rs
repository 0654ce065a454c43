//! Memory per pod, counted by the allocator; a process of its own keeps other allocations out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use netns_agent::interface::Pod;
use netns_agent::owner::pod::{PodChange, PodEvent, PodRecord};
use netns_agent::owner::{ApiServer, Selection, Tagger};
use serde_json::{Value, json};

const PODS: usize = 500;
/// More than are remembered as gone.
const PODS_GONE: usize = 5_000;
const ANNOTATIONS: usize = 50 << 10;
const LIMIT: isize = 5 << 20;
/// The answer of the API server, in a buffer that doubles.
const ANSWER: isize = 2 * (PODS * ANNOTATIONS) as isize;

thread_local! {
    /// Of this thread: the server runs on another, and so does every other test.
    static COUNT: Cell<Count> = const { Cell::new(Count { bytes: 0, peak: 0, blocks: 0 }) };
}

/// Bytes allocated and not freed.
#[derive(Clone, Copy)]
struct Count {
    bytes: isize,
    /// The most bytes there were.
    peak: isize,
    blocks: isize,
}

impl Count {
    fn now() -> Self {
        COUNT.get()
    }

    fn add(bytes: isize, blocks: isize) {
        // A thread that ends has none any more.
        _ = COUNT.try_with(|count| {
            let Self { bytes: before, peak, blocks: others } = count.get();
            let bytes = before + bytes;
            count.set(Self { bytes, peak: peak.max(bytes), blocks: others + blocks });
        });
    }
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Count::add(layout.size().cast_signed(), 1);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Count::add(-layout.size().cast_signed(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A pod with 25 annotations of a kilobyte, as selected ones may be, and one that is larger.
fn pod(number: usize) -> Value {
    let mut annotations: serde_json::Map<String, Value> =
        (0..25).map(|n| (format!("note-{n}"), Value::from("x".repeat(1000)))).collect();
    annotations.insert("large".into(), "y".repeat(ANNOTATIONS - 25_000).into());
    json!({
        "metadata": {
            "namespace": "shop", "name": format!("web-5d78c9869d-{number:05}"), "uid": format!("uid-{number:032}"),
            "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "web", "pod-template-hash": "5d78c9869d"}, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d78c9869d",
                "uid": "r", "controller": true}],
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.0.{}.{}", number / 250, number % 250)}]},
    })
}

async fn pods(Query(params): Query<std::collections::BTreeMap<String, String>>) -> Response {
    if params.contains_key("watch") {
        return std::future::pending().await;
    }
    let items: Vec<Value> = (0..PODS).map(pod).collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "10"}, "items": items});
    axum::Json(list).into_response()
}

/// Serves on a thread of its own, so that only the agent's side is counted.
fn serve() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().route("/api/v1/pods", get(pods))).await.unwrap();
        });
    });
    at
}

#[test]
fn large_annotations_take_little_memory() {
    let at = serve();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{at}")}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    let before = Count::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tagger = runtime.block_on(async {
        let api = ApiServer::connect(Some(&path)).await.unwrap().unwrap();
        let mut events = Box::pin(api.pods("node-1", Selection::default()));
        let listed = tokio::time::timeout(std::time::Duration::from_secs(60), events.next()).await.unwrap();
        let mut tagger = Tagger::default();
        match listed {
            Some(PodEvent::Change(change @ PodChange::Listed(_))) => tagger.pod(change),
            other => panic!("{other:?}"),
        }
        tagger
    });
    let after = Count::now();
    let (kept, peak) = (after.bytes - before.bytes, after.peak - before.bytes);
    assert_eq!(tagger.pods(), PODS);
    println!("{PODS} pods: {} KiB kept, {} KiB at most", kept >> 10, peak >> 10);
    assert!(peak < ANSWER + LIMIT, "{peak} bytes");
    assert!(kept < LIMIT / 2, "{kept} bytes");
}

/// A remainder of each pod between freed allocations would keep a page per pod.
#[test]
fn pods_that_are_gone_leave_nothing_each() {
    let before = Count::now();
    let mut tagger = Tagger::default();
    for number in 0..PODS_GONE {
        let uid: Arc<str> = format!("uid-{number}").into();
        let (name, namespace) = (format!("web-{number}"), "shop".to_owned());
        let pod = Pod { name, namespace, uid: Some(uid.to_string()), workload: None, attributes: Vec::new() };
        let pod = Arc::new(pod);
        let addresses = vec![[10, 0, (number >> 8) as u8, number as u8].into()];
        tagger.pod(PodChange::Applied(PodRecord {
            uid: uid.clone(),
            addresses,
            ..netns_agent::testing::pod_record(pod)
        }));
        tagger.pod(PodChange::Deleted(uid));
    }
    let after = Count::now();
    let (bytes, blocks) = (after.bytes - before.bytes, after.blocks - before.blocks);
    println!("{PODS_GONE} pods that are gone: {blocks} blocks, {} KiB", bytes >> 10);
    assert!(blocks < 32, "{blocks} blocks");
    assert!(bytes < 256 << 10, "{bytes} bytes");
}
