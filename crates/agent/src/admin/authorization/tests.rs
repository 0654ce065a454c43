use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::Response as Answer;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_service::Service;

use super::*;
use crate::admin::tests::{get, handles, with_router};
use crate::admin::{guarded_router, metrics_router};

const FINE: &str = "fine.token";
const POWERLESS: &str = "powerless.token";

/// The state of an API server that knows two tokens, only one of whose users may get /metrics.
#[derive(Default)]
struct State {
    /// Status codes to answer next, in place of reviews; 0 for no answer at all.
    faults: VecDeque<u16>,
    /// Paths and bodies of the requests.
    requests: Vec<(String, Value)>,
}

#[derive(Clone, Default)]
struct StandIn(Arc<Mutex<State>>);

impl StandIn {
    fn gate(&self) -> Gate {
        Gate::new(Reviews::of(&Client::new(self.clone(), "default")))
    }

    fn fail(&self, codes: &[u16]) {
        self.0.lock().unwrap().faults.extend(codes);
    }

    fn requests(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }

    async fn answer(self, request: hyper::Request<Body>) -> Result<Answer<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let fault = {
            let mut state = self.0.lock().unwrap();
            state.requests.push((path.clone(), review.clone()));
            state.faults.pop_front()
        };
        let (code, text) = match fault {
            Some(0) => pending().await,
            Some(code) => (code, failure(code)),
            None => (201, reviewed(&path, review)),
        };
        Ok(Answer::builder().status(code).body(Body::from(text.to_string().into_bytes())).unwrap())
    }
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
           "reason": "Forbidden", "message": "secret words of the cluster"})
}

fn reviewed(path: &str, mut review: Value) -> Value {
    review["status"] = if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
        let user = |name: &str| json!({"authenticated": true, "user": {"username": name, "uid": "7", "groups": ["all"], "extra": {"a": ["b"]}}});
        match review["spec"]["token"].as_str() {
            Some(FINE) => user("prometheus"),
            Some(POWERLESS) => user("guest"),
            _ => json!({"authenticated": false, "error": "invalid bearer token"}),
        }
    } else {
        assert_eq!(path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        json!({"allowed": review["spec"]["user"] == "prometheus"})
    };
    review
}

impl Service<hyper::Request<Body>> for StandIn {
    type Response = Answer<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

async fn scrape(address: std::net::SocketAddr, token: &str) -> (u16, String) {
    let header = format!("Bearer {token}");
    let (status, _, body) = get(address, "/metrics", &[("authorization", &header)]).await;
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn allowed_token_gets_metrics() {
    let server = StandIn::default();
    with_router(guarded_router(handles(), server.gate()), async |address| {
        assert_eq!(scrape(address, FINE).await.0, 200);
        let (status, body) = scrape(address, POWERLESS).await;
        assert_eq!(status, 403);
        assert!(body.contains("guest may not get /metrics; bind a ClusterRole"), "{body}");
        let (status, body) = scrape(address, "unknown").await;
        assert_eq!(status, 401);
        assert!(body.contains("does not accept the token"), "{body}");
    })
    .await;
    let requests = server.requests();
    assert_eq!(requests[0].1["spec"], json!({"token": FINE}));
    assert_eq!(
        requests[1].1["spec"],
        json!({"user": "prometheus", "uid": "7", "groups": ["all"], "extra": {"a": ["b"]},
               "nonResourceAttributes": {"path": "/metrics", "verb": "get"}})
    );
}

/// Probes and the landing page are open, as kubelets send no token; nothing of /v1 is there.
#[tokio::test]
async fn only_metrics_need_a_token() {
    let server = StandIn::default();
    with_router(guarded_router(handles(), server.gate()), async |address| {
        for (path, status) in
            [("/", 200), ("/livez", 200), ("/readyz", 503), ("/metrics", 401), ("/v1/interfaces", 404)]
        {
            let (answered, headers, _) = get(address, path, &[]).await;
            assert_eq!(answered, status, "{path}");
            assert_eq!(headers.get("www-authenticate").is_some(), status == 401, "{path}");
        }
        for header in
            ["Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "Bearer \u{e9}", &format!("Bearer {}", "a".repeat(9000))]
        {
            assert_eq!(get(address, "/metrics", &[("authorization", header)]).await.0, 401, "{header}");
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer fine.token")];
        assert_eq!(get(address, "/metrics", &twice).await.0, 401);
        assert_eq!(get(address, "/metrics", &[("authorization", "bearer  fine.token")]).await.0, 200);
    })
    .await;
    assert_eq!(server.requests().len(), 2, "other headers ask nobody");
    with_router(metrics_router(handles()), async |address| {
        assert_eq!(get(address, "/metrics", &[]).await.0, 200, "without a gate");
    })
    .await;
}

/// An allowed token is reviewed again after its time; while the API server fails, a known token still works.
#[tokio::test(start_paused = true)]
async fn decisions_are_kept_for_a_time() {
    let server = StandIn::default();
    let gate = server.gate();
    for _ in 0..3 {
        assert_eq!(gate.decide(FINE).await, Ok(Decision::Allowed));
    }
    assert_eq!(server.requests().len(), 2);
    server.fail(&[500]);
    assert_eq!(gate.decide(FINE).await, Ok(Decision::Allowed));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(gate.decide(FINE).await, Err("the API server answers 500 to tokenreviews".to_owned()));
    assert_eq!(gate.decide(FINE).await, Ok(Decision::Allowed), "a failure is not kept");
}

/// The client, not known yet, learns nothing about the cluster; the log gets the reason.
#[tokio::test]
async fn failures_of_the_api_server_are_503() {
    let server = StandIn::default();
    server.fail(&[403]);
    with_router(guarded_router(handles(), server.gate()), async |address| {
        let (status, body) = scrape(address, FINE).await;
        assert_eq!(status, 503);
        assert!(body.contains("the agent's log has the reason") && !body.contains("secret"), "{body}");
    })
    .await;
    let reviews = Reviews::of(&Client::new(server.clone(), "default"));
    server.fail(&[401]);
    assert!(reviews.decide(FINE).await.unwrap_err().contains("the agent's own token"));
    server.fail(&[403]);
    let error = reviews.check().await.unwrap_err();
    assert!(error.contains("allow the agent's service account to create tokenreviews"), "{error}");
    assert_eq!(reviews.check().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn silent_api_server_is_given_up() {
    let server = StandIn::default();
    server.fail(&[0; REVIEWS + 1]);
    let gate = server.gate();
    let tokens: Vec<String> = (0..=REVIEWS).map(|token| token.to_string()).collect();
    let begin = Instant::now();
    let decided = futures_util::future::join_all(tokens.iter().map(|token| gate.decide(token))).await;
    assert!(decided.iter().all(|decided| *decided == Err("no answer within 5s".to_owned())), "{decided:?}");
    assert_eq!(begin.elapsed(), REVIEW_TIME);
    assert_eq!(server.requests().len(), REVIEWS, "no more at a time");
}
