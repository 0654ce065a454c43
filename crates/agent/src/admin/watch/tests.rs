use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use iface_core::Place;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::admin::tests::{handles, with_router};
use crate::admin::{Handles, router};
use crate::feed::Feed;
use crate::interface::{Event, Interface};
use crate::testing::{at, changed, interface, pod, pod_interface};

const LIMIT: Duration = Duration::from_secs(60);

fn host(number: u64) -> Arc<Interface> {
    Arc::new(interface(number, format!("eth{number}"), Place::Host, at(1)))
}

fn added(feed: &Feed, interfaces: impl IntoIterator<Item = Arc<Interface>>) {
    interfaces.into_iter().for_each(|interface| feed.push(&Event::Added(interface), at(2)));
}

fn synced(interfaces: u64) -> Arc<Feed> {
    let feed = Arc::<Feed>::default();
    added(&feed, (1..=interfaces).map(host));
    feed.push(&Event::Synced, at(2));
    feed
}

async fn serving<T>(feed: &Arc<Feed>, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    with_router(router(Handles { feed: feed.clone(), ..handles() }), client).await
}

/// A client that reads chunks as lines.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn get(address: SocketAddr, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v1/watch{query} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(LIMIT, self.0.read_line(&mut line)).await.expect("a line in time").unwrap();
        assert_ne!(read, 0, "the connection has ended");
        line.trim_end().to_owned()
    }

    /// The first line that begins with this text.
    async fn until(&mut self, start: &str) -> String {
        loop {
            let line = self.line().await;
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// The next line of JSON.
    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.until("{").await).unwrap()
    }

    /// Kind and interface of the next line.
    async fn event(&mut self) -> String {
        let line = self.json().await;
        let name = line["interface"]["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}{name}", line["event"].as_str().unwrap())
    }
}

#[tokio::test]
async fn lines_follow_what_exists() {
    let feed = synced(2);
    serving(&feed, async |address| {
        let mut client = Client::get(address, "", "").await;
        assert!(client.until("content-type").await.ends_with("application/x-ndjson"));
        for event in ["Added eth1", "Added eth2", "Synced"] {
            assert_eq!(client.event().await, event);
        }
        let faster = changed(&host(1), |interface| interface.mtu = 9000);
        feed.push(&Event::Updated(faster, iface_core::Changes::MTU), at(3));
        let line = client.json().await;
        assert_eq!((&line["event"], &line["changed"][0]), (&"Updated".into(), &"mtu".into()));
        assert_eq!(
            (&line["time"], &line["interface"]["mtu"]),
            (&"1970-01-01T00:00:03.000000000Z".into(), &9000.into())
        );
        assert!(line["seq"].as_u64().is_some());
    })
    .await;
}

#[tokio::test]
async fn browsers_get_server_sent_events() {
    let feed = synced(1);
    serving(&feed, async |address| {
        let mut client = Client::get(address, "", "accept: text/event-stream\r\n").await;
        client.until("content-type: text/event-stream").await;
        let id = client.until("id: ").await;
        assert_eq!(client.line().await, "event: Added");
        assert!(client.line().await.starts_with("data: {\"seq\":"));
        added(&feed, [host(2)]);
        let again = format!("accept: text/event-stream\r\nlast-event-{id}\r\n");
        let mut client = Client::get(address, "", &again).await;
        assert!(client.until("data: ").await.contains("eth2"), "eth1 was read before the cut");
    })
    .await;
}

#[tokio::test]
async fn cut_reader_goes_on() {
    let feed = synced(2);
    serving(&feed, async |address| {
        let mut client = Client::get(address, "", "").await;
        client.json().await;
        let seq = client.json().await["seq"].as_u64().unwrap();
        drop(client);
        feed.push(&Event::Deleted(host(1), None), at(3));
        let mut client = Client::get(address, &format!("?resume={seq}"), "").await;
        for event in ["Deleted eth1", "Synced"] {
            assert_eq!(client.event().await, event);
        }
        let mut refused = Client::get(address, "?resume=7", "").await;
        assert_eq!(refused.line().await, "HTTP/1.1 410 Gone");
        assert!(refused.json().await["error"].as_str().unwrap().contains("start again"));
        let mut refused = Client::get(address, "?resume=x", "").await;
        assert_eq!(refused.line().await, "HTTP/1.1 400 Bad Request");
    })
    .await;
}

/// An interface whose pod is found later is added to the stream of the pod then.
#[tokio::test]
async fn selectors_follow_the_owner() {
    let feed = synced(1);
    serving(&feed, async |address| {
        let mut client = Client::get(address, "?pod=web", "").await;
        assert_eq!(client.event().await, "Synced");
        let owned = pod_interface(9, "net1", &pod("web"), at(1));
        added(&feed, [Arc::new(owned.with_owner(None))]);
        feed.push(&Event::Updated(owned.clone(), iface_core::Changes::OWNER), at(3));
        assert_eq!(client.event().await, "Added net1");
        feed.push(&Event::Updated(Arc::new(owned.with_owner(None)), iface_core::Changes::OWNER), at(3));
        assert_eq!(client.event().await, "Deleted net1");
    })
    .await;
}

/// A program that reads nothing does not delay a hundred others.
#[tokio::test]
async fn hundred_readers_read_the_same() {
    let feed = synced(20);
    serving(&feed, async |address| {
        let mut lazy = Client::get(address, "", "").await;
        lazy.until("HTTP/1.1 200").await;
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(Client::get(address, "", "").await);
        }
        for client in &mut clients {
            while client.event().await != "Synced" {}
        }
        assert_eq!(feed.counts().readers, 101);
        for number in 21..=40 {
            added(&feed, [host(number)]);
            feed.push(&Event::Deleted(host(number - 20), None), at(3));
        }
        for client in &mut clients {
            while client.event().await != "Deleted eth20" {}
        }
    })
    .await;
}

#[tokio::test]
async fn readers_have_a_limit() {
    let feed = synced(1);
    let mut readers = Vec::new();
    for _ in 0..crate::feed::READERS {
        readers.push(feed.subscribe(None, Box::new(|_| true)).unwrap());
    }
    serving(&feed, async |address| {
        let mut client = Client::get(address, "", "").await;
        assert_eq!(client.line().await, "HTTP/1.1 503 Service Unavailable");
        readers.pop();
        let mut client = Client::get(address, "", "").await;
        assert_eq!(client.line().await, "HTTP/1.1 200 OK");
    })
    .await;
}

#[tokio::test]
async fn heartbeats_show_a_live_connection() {
    let feed = synced(1);
    let reader = feed.subscribe(None, Box::new(|_| true)).unwrap();
    tokio::time::pause();
    let mut body = body(reader, Form::Lines).into_data_stream();
    let mut lines = String::new();
    while !lines.contains("Heartbeat") {
        lines.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

/// More than all buffers between server and client hold.
#[tokio::test]
async fn reader_that_stops_is_cut() {
    let feed = synced(40_000);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(Handles { feed: feed.clone(), ..handles() });
    let server = tokio::spawn(crate::admin::serve(listener, None, routes, std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    timeout(LIMIT, stream.read_exact(&mut [0; 100])).await.unwrap().unwrap();
    assert_eq!(feed.counts().readers, 1);
    tokio::time::pause();
    let cut = async {
        while feed.counts().readers > 0 {
            sleep_until(Instant::now() + Duration::from_secs(1)).await;
        }
    };
    timeout(6 * crate::admin::server::STALL, cut).await.expect("the reader is cut");
    server.abort();
}
