use std::future::ready as now;

use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use iface_core::{Confidence, NetnsName, Place};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::lookup::Answer;
use crate::testing::{at, eth0, interface, pod, pod_interface, reading};

pub(super) fn handles() -> Handles {
    let known = || {
        let tun = interface(9, "tun0", Place::Named(NetnsName::new("blue")), at(1));
        vec![pod_interface(2, "eth0", &pod("web"), at(1)), Arc::new(tun), eth0(1, at(1))]
    };
    Handles {
        ready: Box::new(|| Err("the first scan is not done".to_owned())),
        interfaces: Box::new(known),
        lookup: Box::new(move |wanted| {
            let interface = known().into_iter().find(|interface| interface.ifindex == wanted.ifindex)?;
            Some(Answer { interface, confidence: Confidence::Exact })
        }),
        counters: Box::new(|| {
            let readings = Readings { time: at(5), readings: vec![reading(2, 100), reading(77, 1)] };
            Box::pin(now(Ok(Arc::new(readings))))
        }),
        node: "worker-1".to_owned(),
        feed: Arc::default(),
        metrics: Box::new(|format| {
            let page = Compressed::new(|to| (0..100).try_for_each(|_| writeln!(to, "# {format:?}")));
            Box::pin(now(page.map_err(|error| error.to_string())))
        }),
    }
}

/// A page of two parts, the second a second later.
fn slow() -> axum::routing::MethodRouter {
    axum::routing::get(async || {
        let second = async {
            tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(1)).await;
            Ok::<_, std::io::Error>("second")
        };
        Body::from_stream(stream::once(now(Ok("first"))).chain(stream::once(second)))
    })
}

/// Serves for as long as the future `client` runs.
pub(super) async fn with_server<T>(client: impl AsyncFnOnce(std::net::SocketAddr) -> T) -> T {
    with_router(router(handles()).route("/slow", slow()), client).await
}

pub(super) async fn with_router<T>(router: Router, client: impl AsyncFnOnce(std::net::SocketAddr) -> T) -> T {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, None, router, std::future::pending());
    let limited = tokio::time::timeout(Duration::from_secs(20), client(address));
    tokio::select! {
        answer = limited => answer.expect("the client is done in time"),
        ended = server => panic!("the server ended: {ended:?}"),
    }
}

pub(super) async fn get(
    address: std::net::SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, hyper::HeaderMap, Vec<u8>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let mut request = hyper::Request::builder().uri(path).header("host", "test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
    let exchange = async {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (head.status.as_u16(), head.headers, body)
    };
    tokio::select! { answer = exchange => answer, _ = connection => unreachable!("ended without an answer") }
}

async fn json_of(address: std::net::SocketAddr, path: &str) -> (u16, Value) {
    let (status, _, body) = get(address, path, &[]).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn alive_before_ready() {
    with_server(async |address| {
        for path in ["/livez", "/healthz"] {
            assert_eq!(get(address, path, &[]).await.0, 200, "{path}");
        }
        let (status, _, body) = get(address, "/readyz", &[]).await;
        assert_eq!((status, &*body), (503, &b"not ready: the first scan is not done\n"[..]));
    })
    .await;
}

#[tokio::test]
async fn metrics_server_hides_interfaces() {
    with_router(metrics_router(handles()), async |address| {
        for (path, status) in [
            ("/", 200),
            ("/metrics", 200),
            ("/healthz", 200),
            ("/readyz", 503),
            ("/v1/interfaces", 404),
            ("/v1/lookup?ifindex=9", 404),
            ("/v1/counters", 404),
            ("/ui/app.js", 404),
        ] {
            assert_eq!(get(address, path, &[]).await.0, status, "{path}");
        }
        let (_, _, body) = get(address, "/", &[]).await;
        assert!(!String::from_utf8(body).unwrap().contains("/v1/"));
    })
    .await;
}

#[tokio::test]
async fn interfaces_are_selected_by_parameters() {
    with_server(async |address| {
        let names = async |query: &str| {
            let (status, value) = json_of(address, &format!("/v1/interfaces{query}")).await;
            assert_eq!(status, 200);
            let names = value.as_array().unwrap().iter();
            names.map(|interface| interface["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("").await, ["eth0", "tun0", "eth0"]);
        assert_eq!(names("?namespace=default&pod=web").await, ["eth0"]);
        assert_eq!(names("?netns=blue").await, ["tun0"]);
        assert_eq!(names("?netns=host").await, ["eth0"]);
        let blue = interface(9, "tun0", Place::Named(NetnsName::new("blue")), at(1)).netns.inode().unwrap();
        assert_eq!(names(&format!("?netns={blue}")).await, ["tun0"]);
        assert_eq!(names(&format!("?netns=net:[{blue}]")).await, ["tun0"]);
        assert!(names("?namespace=other").await.is_empty());
        assert_eq!(
            json_of(address, "/v1/interfaces?nampespace=x").await.0,
            400,
            "a slip of the pen is not all interfaces"
        );
    })
    .await;
}

/// Counters of an interface that is not shown, or that is gone, are left out.
#[tokio::test]
async fn counters_are_selected_by_parameters() {
    with_server(async |address| {
        let (status, value) = json_of(address, "/v1/counters?namespace=default").await;
        assert_eq!((status, &value["time"]), (200, &json!("1970-01-01T00:00:05.000000000Z")));
        let receive = json!({"bytes": 100, "packets": 10, "errors": 0, "dropped": 0});
        let transmit = json!({"bytes": 50, "packets": 5, "errors": 0, "dropped": 0});
        assert_eq!(value["interfaces"], json!([{"id": 2, "receive": receive, "transmit": transmit}]));
        assert_eq!(json_of(address, "/v1/counters?netns=blue").await.1["interfaces"], json!([]));
        assert_eq!(json_of(address, "/v1/counters?pods=web").await.0, 400);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(json_of(address, "/v1/node").await.1, json!({"node": "worker-1", "version": version}));
    })
    .await;
}

#[tokio::test]
async fn lookup_has_confidence_and_errors() {
    with_server(async |address| {
        let (status, value) = json_of(address, "/v1/lookup?ifindex=9&mac=0a:58:0a:f4:00:05").await;
        assert_eq!((status, &value["confidence"], &value["interface"]["name"]), (200, &json!("exact"), &json!("tun0")));
        assert_eq!(json_of(address, "/v1/lookup?ifindex=77").await.0, 404);
        for bad in ["", "?ifindex=x", "?ifindex=1&mac=zz"] {
            let (status, value) = json_of(address, &format!("/v1/lookup{bad}")).await;
            assert_eq!(status, 400, "{bad}");
            assert!(value["error"].is_string());
        }
    })
    .await;
}

async fn posted(address: std::net::SocketAddr, kind: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = "POST /v1/lookup HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type";
    let request = format!("{head}: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
    // The server may refuse a body before the end of the body.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    // A chunk begins with its length.
    let start = body.find(['[', '{']).unwrap();
    let value = serde_json::Deserializer::from_str(&body[start..]).into_iter().next().unwrap().unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), value)
}

#[tokio::test]
async fn batch_answers_in_order() {
    with_server(async |address| {
        let body = r#"[{"ifindex": 9}, {"ifindex": 77}, {"ifindex": 2, "mac": "0a:58:0a:f4:00:05", "netns": ""}]"#;
        let (status, answers) = posted(address, "application/json", body).await;
        assert_eq!(status, 200, "{answers}");
        assert_eq!((&answers[0]["interface"]["name"], &answers[1]), (&json!("tun0"), &Value::Null));
        assert_eq!(answers[2]["interface"]["pod"]["name"], "web");
        let long = format!("[{}]", vec![r#"{"ifindex": 1}"#; 1_001].join(","));
        for (kind, body, status) in [
            ("application/json", "[{\"ifindex\": 1, \"mac\": \"zz\"}]", 400),
            ("application/json", "[", 400),
            ("application/json", "[{\"ifindeks\": 1}]", 422),
            ("text/plain", "[]", 415),
            ("application/json", &long, 413),
        ] {
            let (refused, value) = posted(address, kind, body).await;
            assert_eq!(refused, status, "{value}");
            assert!(value["error"].is_string());
        }
    })
    .await;
}

/// The document names every route of the server and no other, and every answer has the documented fields.
#[tokio::test]
async fn openapi_describes_every_route() {
    with_server(async |address| {
        let (status, document) = json_of(address, "/openapi.json").await;
        assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));
        let mut served: Vec<_> = routes().iter().map(|(path, _)| (*path).to_owned()).collect();
        served.extend(["/livez", "/healthz", "/readyz", "/metrics"].map(ToOwned::to_owned));
        let paths = document["paths"].as_object().unwrap();
        served.sort();
        assert_eq!(paths.keys().cloned().collect::<Vec<_>>(), served);
        for path in paths.keys().filter(|path| *path != "/v1/watch") {
            let (status, ..) = get(address, path, &[]).await;
            let documented = &paths[path]["get"]["responses"];
            assert!(documented.get(status.to_string()).is_some(), "{path} answers {status}: {documented}");
        }
        let (_, interfaces) = json_of(address, "/v1/interfaces").await;
        let schema = &document["components"]["schemas"]["Interface"];
        let mut documented: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        let mut written: Vec<_> = interfaces[0].as_object().unwrap().keys().collect();
        documented.sort();
        written.sort();
        assert_eq!(documented, written);
        assert_eq!(schema["properties"]["netns"]["properties"]["inode"]["type"], json!(["integer", "null"]));
        assert_eq!(schema["properties"]["pod"]["type"], json!(["object", "null"]));
    })
    .await;
}

#[tokio::test]
async fn metrics_are_negotiated() {
    with_server(async |address| {
        let accept = [("accept", "application/openmetrics-text"), ("accept-encoding", "deflate, gzip")];
        let (status, headers, body) = get(address, "/metrics", &accept).await;
        assert_eq!((status, &headers["content-encoding"]), (200, &"gzip".parse().unwrap()));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*body), &mut text).unwrap();
        assert!(text.starts_with("# OpenMetrics\n"));
        let (_, headers, body) = get(address, "/metrics", &[]).await;
        assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert!(body.starts_with(b"# Text\n"));
    })
    .await;
}

#[tokio::test]
async fn large_headers_are_refused() {
    with_server(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
        // The server may close the connection before the whole request is read.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    })
    .await;
}

/// The kubelet restarts an agent whose probes fail, so connections that send nothing must not make probes fail.
#[tokio::test]
async fn probes_are_answered_among_idle_connections() {
    with_server(async |address| {
        let mut idle = Vec::new();
        for _ in 0..server::CONNECTIONS + 20 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = tokio::time::timeout(Duration::from_secs(1), get(address, "/livez", &[])).await;
        assert_eq!(answer.expect("in time").0, 200);
        // The oldest connection has given way.
        assert_eq!(idle[0].read(&mut [0]).await.ok(), Some(0));
    })
    .await;
}

/// Reads up to and with this text.
async fn read_to(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "the connection has ended");
    }
}

/// A connection whose answer is not complete yet outlives idle ones.
#[tokio::test]
async fn idle_connections_give_way_before_busy_ones() {
    with_server(async |address| {
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_to(&mut kept, "first").await;
        let mut idle = Vec::new();
        for _ in 0..server::CONNECTIONS + 20 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(get(address, "/livez", &[]).await.0, 200);
        read_to(&mut kept, "second").await;
    })
    .await;
}

#[tokio::test]
async fn foreign_host_is_refused_on_loopback() {
    with_server(async |address| {
        for (path, host, status) in [
            ("/v1/interfaces", "evil.example", 403),
            ("/metrics", "evil.example:9465", 403),
            ("/v1/interfaces", "localhost:9465", 200),
            ("/livez", "evil.example", 200),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {host}: {answer}");
        }
    })
    .await;
}

/// A client that begins HTTP/2 without asking learns that HTTP/1.1 is spoken here, and delays nobody.
#[tokio::test]
async fn http2_preface_is_refused_at_once() {
    with_server(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
        assert_eq!(get(address, "/livez", &[]).await.0, 200);
    })
    .await;
}

/// A scraper that has closed its connection leaves no work behind.
#[tokio::test]
async fn given_up_scrape_is_dropped() {
    let (started, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let metrics = move |_| -> Page {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        started.send(dropped).unwrap();
        Box::pin(async move {
            let _held = held;
            std::future::pending().await
        })
    };
    let handles = Handles { metrics: Box::new(metrics), ..handles() };
    with_router(router(handles), async |address| {
        let mut scraper = TcpStream::connect(address).await.unwrap();
        scraper.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let dropped = begun.recv().await.unwrap();
        drop(scraper);
        assert!(dropped.await.is_err());
        assert_eq!(get(address, "/livez", &[]).await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn request_needs_one_host() {
    with_server(async |address| {
        for (request, status) in [
            ("GET /livez HTTP/1.0\r\n\r\n", 200),
            ("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
            ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
            ("GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n", 400),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.split(' ').nth(1), Some(&*status.to_string()), "{request}: {answer}");
        }
    })
    .await;
}
