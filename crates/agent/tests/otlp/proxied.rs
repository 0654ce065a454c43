//! Receivers behind a proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netns_agent::export::otlp::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::faulty::Faulty;
use crate::made::{export, exporter, two_interfaces};

const PATIENCE: Duration = Duration::from_secs(5);
const POINTS: usize = 18;

/// A proxy that connects each tunnel to one receiver, or refuses it; ended when dropped.
struct Proxy {
    address: SocketAddr,
    /// Heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(receiver: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (mut tasks, seen) = (JoinSet::new(), heads.clone());
        tasks.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                tunnels.spawn(tunnel(client, receiver, seen.clone()));
            }
        });
        Self { address, heads, _tasks: tasks }
    }
}

async fn tunnel(mut client: TcpStream, receiver: Option<SocketAddr>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a whole head"));
    }
    heads.lock().expect("heads").push(String::from_utf8(head).expect("text"));
    let Some(receiver) = receiver else {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(refusal).await.expect("a refusal");
    };
    let mut server = TcpStream::connect(receiver).await.expect("the receiver");
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("an answer");
    // An end that closes first is an expected error.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test]
async fn exports_pass_a_tunnel() {
    for (grpc, protocol, endpoint, target) in [
        (true, "grpc", "http://collector.example:4317", "collector.example:4317"),
        (false, "http/protobuf", "http://collector.example:4318", "collector.example:4318"),
        (false, "http/protobuf", "http://collector.example/otlp", "collector.example:80"),
    ] {
        let receiver = Faulty::start(grpc, []).await;
        let proxy = Proxy::start(Some(receiver.address)).await;
        let url = format!("http://me:secret@{}", proxy.address);
        let variables = [("ENDPOINT", endpoint), ("PROTOCOL", protocol), ("HTTP_PROXY", &url)];
        let report = export(&mut exporter(&variables), &two_interfaces(), PATIENCE).await;
        assert_eq!((report.failure, report.accepted), (None, POINTS), "{endpoint}");
        let heads = proxy.heads.lock().expect("heads").clone();
        assert_eq!(heads.len(), 1, "{heads:?}");
        assert!(heads[0].starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{heads:?}");
        assert!(heads[0].to_lowercase().contains("proxy-authorization: basic "), "{heads:?}");
    }
}

/// The proxy is named, without its password.
#[tokio::test]
async fn refusal_of_a_proxy_is_told() {
    let proxy = Proxy::start(None).await;
    let url = format!("http://me:secret@{}", proxy.address);
    let variables = [("ENDPOINT", "https://collector.example:4318"), ("HTTPS_PROXY", &*url), ("TIMEOUT", "500")];
    let report = export(&mut exporter(&variables), &two_interfaces(), Duration::from_millis(100)).await;
    let Some(Failure::Unreachable(why)) = &report.failure else { panic!("{:?}", report.failure) };
    assert!(why.contains(&format!("through the proxy http://{}", proxy.address)), "{why}");
    assert!(why.contains("authorization required") && !why.contains("secret"), "{why}");
}
