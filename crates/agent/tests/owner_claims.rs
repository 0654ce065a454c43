//! The watch of ResourceClaims against an HTTP server on loopback that answers as an API server does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use netns_agent::owner::ApiServer;
use netns_agent::owner::claim::{ClaimChange, ClaimEvent};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// Answers for one version of the API; other versions are not found.
#[derive(Clone)]
struct Server {
    version: &'static str,
    status: StatusCode,
    list: Value,
    watch: Vec<Value>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn claims(
    State(server): State<Server>,
    Path(version): Path<String>,
    Query(params): Query<BTreeMap<String, String>>,
) -> Response {
    server.asked.lock().unwrap().push(version.clone());
    let code = if version == server.version { server.status } else { StatusCode::NOT_FOUND };
    if code != StatusCode::OK {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
            "reason": "x", "message": "said"});
        return (code, axum::Json(status)).into_response();
    }
    if !params.contains_key("watch") {
        return axum::Json(server.list).into_response();
    }
    let lines = server.watch.into_iter().map(|line| Ok::<_, std::io::Error>(Bytes::from(format!("{line}\n"))));
    Body::from_stream(stream::iter(lines).chain(stream::pending())).into_response()
}

struct Running {
    events: Pin<Box<dyn Stream<Item = ClaimEvent> + Send>>,
    asked: Arc<Mutex<Vec<String>>>,
    _kubeconfig: tempfile::TempDir,
}

async fn serve(version: &'static str, status: StatusCode, list: Vec<Value>, watch: Vec<Value>) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let list = json!({"kind": "ResourceClaimList", "apiVersion": "resource.k8s.io/v1",
        "metadata": {"resourceVersion": "10"}, "items": list});
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let server = Server { version, status, list, watch, asked: asked.clone() };
    let router = Router::new().route("/apis/resource.k8s.io/{version}/resourceclaims", get(claims)).with_state(server);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let api = ApiServer::connect(Some(&path)).await.unwrap().unwrap();
    Running { events: Box::pin(api.claims("node-1")), asked, _kubeconfig: dir }
}

impl Running {
    async fn event(&mut self) -> ClaimEvent {
        tokio::time::timeout(LIMIT, self.events.next()).await.expect("no event in time").unwrap()
    }

    async fn change(&mut self) -> ClaimChange {
        match self.event().await {
            ClaimEvent::Change(change) => change,
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn claim(uid: &str, interface: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "nic", "uid": uid, "resourceVersion": "7"},
        "spec": {"devices": {"requests": [{"name": "nic"}]}},
        "status": {
            "reservedFor": [{"resource": "pods", "name": "web-0", "uid": "u1"}],
            "devices": [{"driver": "dra.net", "pool": "node-1", "device": "gpu0rdma0",
                "networkData": {"interfaceName": interface}}],
        },
    })
}

/// Lists and watches the best version that is served.
#[tokio::test]
async fn served_version_is_found() {
    for (version, tried) in [("v1", 1), ("v1beta2", 2), ("v1beta1", 3)] {
        let lines = vec![
            json!({"type": "MODIFIED", "object": claim("c1", "net2")}),
            json!({"type": "DELETED", "object": claim("c1", "net2")}),
        ];
        let mut api = serve(version, StatusCode::OK, vec![claim("c1", "net1")], lines).await;
        let ClaimChange::Listed(listed) = api.change().await else { panic!("not a list") };
        assert_eq!(listed[0].devices[0].interface.unwrap(), "net1");
        assert_eq!(api.asked().len(), tried, "{:?}", api.asked());
        let ClaimChange::Applied(applied) = api.change().await else { panic!("not a change") };
        assert_eq!((applied.devices[0].interface.unwrap().to_string().as_str(), &*applied.pods[0]), ("net2", "u1"));
        assert_eq!(api.change().await, ClaimChange::Deleted("c1".into()));
    }
}

/// Neither a cluster without the API nor missing rights are faults, and the API server is left alone.
#[tokio::test]
async fn refused_claims_are_unused() {
    for (version, status, tried) in [("v9", StatusCode::OK, 3), ("v1", StatusCode::FORBIDDEN, 1)] {
        let mut api = serve(version, status, Vec::new(), Vec::new()).await;
        let event = api.event().await;
        assert!(matches!(&event, ClaimEvent::Unused(why) if why.contains("ResourceClaims")), "{event:?}");
        assert_eq!(api.asked().len(), tried);
        // The next request is minutes away, so the stream is pending.
        assert!(futures_util::poll!(api.events.next()).is_pending());
        assert_eq!(api.asked().len(), tried);
    }
}

#[tokio::test]
async fn failing_server_is_a_fault() {
    let mut api = serve("v1", StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), Vec::new()).await;
    let event = api.event().await;
    assert!(matches!(&event, ClaimEvent::Fault(why) if why.contains("said")), "{event:?}");
}
