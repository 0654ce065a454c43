//! The watch of the API server against an HTTP server on loopback that answers as one does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use netns_agent::owner::pod::{Life, PodChange, PodEvent, PodRecord};
use netns_agent::owner::{ApiServer, Selection};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Longer than any backoff that can come up here.
const LIMIT: Duration = Duration::from_secs(20);

type Params = BTreeMap<String, String>;

/// A reply of the server to one request.
enum Answer {
    Json(Value),
    Status(u16, &'static str),
    /// These lines, then the connection stays open.
    Watch(Vec<Value>),
    Hang,
}

/// Answers requests in this order; a request too many is answered with 500.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: mpsc::UnboundedSender<Params>,
}

struct Running {
    requests: mpsc::UnboundedReceiver<Params>,
    events: Pin<Box<dyn Stream<Item = PodEvent> + Send>>,
    _kubeconfig: tempfile::TempDir,
}

async fn pods(State(server): State<Server>, Query(params): Query<Params>) -> Response {
    server.requests.send(params).unwrap();
    let answer = server.answers.lock().unwrap().pop_front();
    match answer {
        Some(Answer::Json(value)) => axum::Json(value).into_response(),
        Some(Answer::Status(code, reason)) => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": reason, "message": format!("said {reason}")});
            (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
        }
        Some(Answer::Watch(lines)) => {
            let lines = lines.into_iter().map(|line| Ok::<_, std::io::Error>(Bytes::from(format!("{line}\n"))));
            Body::from_stream(stream::iter(lines).chain(stream::pending())).into_response()
        }
        Some(Answer::Hang) => std::future::pending().await,
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn kubeconfig(at: SocketAddr) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{at}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    (dir, path)
}

/// A server of Kubernetes 1.20.
async fn serve(answers: impl IntoIterator<Item = Answer>) -> Running {
    serve_version("20", answers).await
}

async fn serve_version(minor: &'static str, answers: impl IntoIterator<Item = Answer>) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dir, path) = kubeconfig(listener.local_addr().unwrap());
    let (sender, requests) = mpsc::unbounded_channel();
    let server = Server { answers: Arc::new(Mutex::new(answers.into_iter().collect())), requests: sender };
    let version = json!({"major": "1", "minor": minor, "gitVersion": "", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let version = get(move || async { axum::Json(version) });
    let router = Router::new().route("/api/v1/pods", get(pods)).route("/version", version).with_state(server);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let api = ApiServer::connect(Some(&path)).await.unwrap().unwrap();
    let selection = Selection::new(&["app".into()], &["team/*".into()]);
    // Longer than the first pause between two watches.
    let events = Box::pin(api.list_timeout(Duration::from_millis(1500)).pods("node-1", selection));
    Running { requests, events, _kubeconfig: dir }
}

impl Running {
    async fn event(&mut self) -> PodEvent {
        tokio::time::timeout(LIMIT, self.events.next()).await.expect("no event in time").unwrap()
    }

    async fn change(&mut self) -> PodChange {
        match self.event().await {
            PodEvent::Change(change) => change,
            PodEvent::Fault(fault) => panic!("{fault}"),
        }
    }

    async fn listed(&mut self) -> Vec<PodRecord> {
        match self.change().await {
            PodChange::Listed(records) => records,
            other => panic!("{other:?}"),
        }
    }

    async fn fault(&mut self) -> String {
        match self.event().await {
            PodEvent::Fault(fault) => fault,
            PodEvent::Change(change) => panic!("{change:?}"),
        }
    }

    fn requests(&mut self) -> Vec<Params> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "7",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "web", "pod-template-hash": "5d78c9869d"},
            "annotations": {"team/owner": "blue", "other": "x"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d78c9869d",
                "uid": "r", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "a", "image": "b"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    })
}

fn list(pods: Vec<Value>, next_page: &str) -> Answer {
    Answer::Json(json!({"kind": "PodList", "apiVersion": "v1",
        "metadata": {"resourceVersion": "10", "continue": next_page}, "items": pods}))
}

fn line(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn uids(records: &[PodRecord]) -> Vec<&str> {
    records.iter().map(|record| &*record.uid).collect()
}

#[tokio::test]
async fn pods_are_listed_at_any_version() {
    let mut changed = pod("a");
    changed["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:05:05Z");
    let bookmark = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "20"}});
    let lines = vec![line("MODIFIED", changed), line("BOOKMARK", bookmark), line("DELETED", pod("b"))];
    let mut api = serve([list(vec![pod("a")], "more"), list(vec![pod("b")], ""), Answer::Watch(lines)]).await;

    assert_eq!(uids(&api.listed().await), ["uid-a", "uid-b"]);
    assert!(matches!(api.change().await, PodChange::Applied(record) if record.life == Life::Terminating));
    assert_eq!(api.change().await, PodChange::Deleted("uid-b".into()));

    let requests = api.requests();
    assert!(requests.iter().all(|params| params["fieldSelector"] == "spec.nodeName=node-1"), "{requests:?}");
    assert_eq!(requests[0].get("resourceVersion").map(String::as_str), Some("0"), "{requests:?}");
    assert_eq!(requests[1]["continue"], "more");
    assert_eq!((&*requests[2]["watch"], &*requests[2]["resourceVersion"]), ("true", "10"));
    assert_eq!(requests[2]["allowWatchBookmarks"], "true");
}

fn end_of_list() -> Value {
    let metadata = json!({"resourceVersion": "20", "annotations": {"k8s.io/initial-events-end": "true"}});
    line("BOOKMARK", json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata}))
}

/// Since Kubernetes 1.34, the watch begins with the pods that exist; no list reads etcd.
#[tokio::test]
async fn new_servers_stream_the_list() {
    let lines = vec![line("ADDED", pod("a")), line("ADDED", pod("b")), end_of_list(), line("DELETED", pod("b"))];
    let mut api = serve_version("34+", [Answer::Watch(lines)]).await;
    assert_eq!(uids(&api.listed().await), ["uid-a", "uid-b"]);
    assert_eq!(api.change().await, PodChange::Deleted("uid-b".into()));
    let [request] = <[Params; 1]>::try_from(api.requests()).unwrap();
    assert_eq!((&*request["sendInitialEvents"], &*request["resourceVersionMatch"]), ("true", "NotOlderThan"));
    assert_eq!(request["fieldSelector"], "spec.nodeName=node-1");
}

/// The feature gate can be off, and a proxy can forbid or swallow the stream.
#[tokio::test]
async fn refused_stream_becomes_a_list() {
    for refusal in [Answer::Status(422, "Invalid"), Answer::Status(400, "BadRequest")] {
        let mut api = serve_version("36", [refusal, list(vec![pod("a")], "")]).await;
        assert_eq!(uids(&api.listed().await), ["uid-a"]);
        let requests = api.requests();
        assert!(!requests[1].contains_key("watch"), "{requests:?}");
        assert_eq!(requests[1].get("resourceVersion").map(String::as_str), Some("0"), "{requests:?}");
    }
    let mut api = serve_version("36", [Answer::Watch(Vec::new()), list(vec![pod("a")], "")]).await;
    assert!(api.fault().await.contains("did not answer"));
    assert_eq!(uids(&api.listed().await), ["uid-a"]);
}

#[tokio::test]
async fn expired_history_is_streamed_again() {
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version"});
    let first = vec![line("ADDED", pod("a")), end_of_list(), line("ERROR", gone)];
    let second = vec![line("ADDED", pod("b")), end_of_list()];
    let mut api = serve_version("36", [Answer::Watch(first), Answer::Watch(second)]).await;
    assert_eq!(uids(&api.listed().await), ["uid-a"]);
    assert_eq!(uids(&api.listed().await), ["uid-b"]);
}

/// A login page of a proxy instead of a list of pods.
#[tokio::test]
async fn answer_without_pods_names_the_proxy() {
    let mut api = serve([Answer::Json(json!("login"))]).await;
    let fault = api.fault().await;
    assert!(fault.contains("not a list of pods") && fault.contains("proxy"), "{fault}");
}

#[tokio::test]
async fn record_has_workload_addresses_and_attributes() {
    let mut job = pod("job");
    job["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "once", "uid": "j", "controller": true}]);
    job["status"]["phase"] = json!("Succeeded");
    let mut host = pod("host");
    host["spec"]["hostNetwork"] = json!(true);
    let mut fixed = pod("static");
    fixed["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    let mut api = serve([list(vec![pod("web"), job, host, fixed], "")]).await;
    let [web, job, host, fixed] = <[PodRecord; 4]>::try_from(api.listed().await).unwrap();

    assert_eq!(web.pod.workload.as_ref().unwrap().name, "web");
    assert_eq!(web.addresses.len(), 2);
    assert_eq!(web.created, 1_767_323_045);
    let attributes = [("k8s.pod.annotation.team/owner", "blue"), ("k8s.pod.label.app", "web")];
    assert_eq!(web.pod.attributes, attributes.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!((job.pod.workload.as_ref().unwrap().name.as_str(), job.life), ("once", Life::Terminated));
    assert!(host.addresses.is_empty());
    assert_eq!((fixed.named.uid.as_deref(), fixed.pod.uid.as_deref()), (Some("hash"), Some("uid-static")));
}

#[tokio::test]
async fn expired_history_is_listed_again() {
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version"});
    let mut api = serve([
        list(vec![pod("a")], ""),
        Answer::Watch(vec![line("ERROR", gone)]),
        list(vec![pod("b")], ""),
        Answer::Status(410, "Expired"),
        list(vec![pod("c")], ""),
    ])
    .await;
    for uid in ["uid-a", "uid-b", "uid-c"] {
        assert_eq!(uids(&api.listed().await), [uid]);
    }
}

#[tokio::test]
async fn refusal_is_a_fault_and_retried() {
    let answers = [Answer::Status(403, "Forbidden"), Answer::Status(401, "Unauthorized"), list(vec![pod("a")], "")];
    let mut api = serve(answers).await;
    let forbidden = api.fault().await;
    assert!(forbidden.contains("said Forbidden") && forbidden.contains("ClusterRole"), "{forbidden}");
    let unknown = api.fault().await;
    assert!(unknown.contains("token"), "{unknown}");
    assert_eq!(uids(&api.listed().await), ["uid-a"]);
}

#[tokio::test]
async fn hanging_list_is_retried() {
    let mut api = serve([Answer::Hang, list(vec![pod("a")], "")]).await;
    let fault = api.fault().await;
    assert!(fault.contains("did not answer within"), "{fault}");
    assert_eq!(uids(&api.listed().await), ["uid-a"]);
}

#[tokio::test]
async fn event_of_another_kind_is_a_fault() {
    let odd = line("ADDED", json!({"metadata": {"name": 5}}));
    let mut api = serve([list(vec![pod("a")], ""), Answer::Watch(vec![odd])]).await;
    assert_eq!(uids(&api.listed().await), ["uid-a"]);
    let fault = api.fault().await;
    assert!(fault.contains("not a pod's"), "{fault}");
}

#[tokio::test]
async fn partial_list_is_dropped() {
    let answers = [list(vec![pod("a")], "more"), Answer::Status(500, "InternalError"), list(vec![pod("b")], "")];
    let mut api = serve(answers).await;
    let fault = api.fault().await;
    assert!(fault.contains("500"), "{fault}");
    assert_eq!(uids(&api.listed().await), ["uid-b"]);
}

#[tokio::test]
async fn absent_api_server_is_a_fault() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_dir, path) = kubeconfig(listener.local_addr().unwrap());
    drop(listener);
    let api = ApiServer::connect(Some(&path)).await.unwrap().unwrap();
    let fault = api.pod_names("node-1").await.unwrap_err();
    assert!(fault.contains("onnection refused"), "{fault}");
}

/// A kubeconfig with a fault may hold a token, and so may a file that is not a kubeconfig.
#[tokio::test]
async fn fault_of_kubeconfig_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    for text in
        ["TOKEN\n", "apiVersion: v1\nusers:\n- name: u\n  user: TOKEN\n", "users: [{name: u, user: {token: [TOKEN"]
    {
        std::fs::write(&path, text).unwrap();
        let error = ApiServer::connect(Some(&path)).await.unwrap_err().to_string();
        assert!(error.contains("cannot use the kubeconfig") && !error.contains("TOKEN"), "{error}");
    }
}

#[tokio::test]
async fn unreadable_kubeconfig_is_named() {
    let error = ApiServer::connect(Some("/nonexistent/config".as_ref())).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/config"), "{error}");
}
