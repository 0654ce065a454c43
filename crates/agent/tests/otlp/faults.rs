//! Faults of a receiver lose no points that can still be delivered.

use std::time::Duration;

use netns_agent::export::otlp::Failure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::faulty::{Answer, Faulty};
use crate::made::{export, exporter, two_interfaces};

const PATIENCE: Duration = Duration::from_secs(10);
const POINTS: usize = 18;

fn variables(receiver: &Faulty, grpc: bool) -> [(&'static str, String); 2] {
    let protocol = if grpc { "grpc" } else { "http/protobuf" };
    [("ENDPOINT", format!("http://{}", receiver.address)), ("PROTOCOL", protocol.to_owned())]
}

/// Exports once; returns the report and the receiver.
async fn once(grpc: bool, script: Vec<Answer>, patience: Duration) -> (netns_agent::export::otlp::Report, Faulty) {
    let receiver = Faulty::start(grpc, script).await;
    let [endpoint, protocol] = variables(&receiver, grpc);
    let variables = [(endpoint.0, &*endpoint.1), (protocol.0, &*protocol.1), ("TIMEOUT", "500")];
    let report = export(&mut exporter(&variables), &two_interfaces(), patience).await;
    (report, receiver)
}

#[tokio::test]
async fn retried_exports_arrive_once() {
    for (grpc, fault) in [
        (false, Answer::Http(503, None)),
        (false, Answer::Cut),
        (false, Answer::Hang),
        (true, Answer::Grpc(Status::unavailable("restarting"))),
        (true, Answer::Cut),
        (true, Answer::Hang),
    ] {
        let (report, receiver) = once(grpc, vec![fault.clone()], PATIENCE).await;
        assert_eq!((report.failure, report.accepted, report.retries), (None, POINTS, 1), "{grpc} {fault:?}");
        let received = receiver.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].request, received[1].request);
    }
}

/// A receiver that answers the preface of HTTP/2 as web servers do.
async fn answers_http1() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut preface = [0; 24];
            let _ = stream.read_exact(&mut preface).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            // Open until the client has read the answer.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    (address, serving)
}

/// At the port of the other protocol, the error names the setting to change.
#[tokio::test]
async fn the_wrong_protocol_is_named() {
    let (web_server, serving) = answers_http1().await;
    let grpc = Faulty::start(true, []).await;
    for (address, protocol, remedy) in [
        (web_server, "grpc", "--otlp-protocol http/protobuf"),
        (grpc.address, "http/protobuf", "--otlp-protocol grpc"),
        (grpc.address, "http/json", "--otlp-protocol grpc"),
    ] {
        let endpoint = format!("http://{address}");
        let variables = [("ENDPOINT", &*endpoint), ("PROTOCOL", protocol), ("TIMEOUT", "500")];
        let report = export(&mut exporter(&variables), &two_interfaces(), Duration::from_millis(100)).await;
        let Some(Failure::Unreachable(why)) = &report.failure else { panic!("{:?}", report.failure) };
        assert!(why.contains(remedy), "{why}");
    }
    serving.abort();
}

#[tokio::test]
async fn hanging_connection_is_replaced() {
    for grpc in [false, true] {
        let (report, receiver) = once(grpc, vec![Answer::Hang], PATIENCE).await;
        assert_eq!((report.failure, receiver.connections()), (None, 2));
    }
}

#[tokio::test]
async fn refused_exports_are_not_retried() {
    for (grpc, fault) in [
        (false, Answer::Http(400, None)),
        (false, Answer::Http(401, None)),
        (false, Answer::Http(500, None)),
        (false, Answer::Http(302, None)),
        (true, Answer::Grpc(Status::invalid_argument("no"))),
        (true, Answer::Grpc(Status::resource_exhausted("no, and no word when"))),
    ] {
        let (report, receiver) = once(grpc, vec![fault.clone()], PATIENCE).await;
        assert!(matches!(report.failure, Some(Failure::Refused(_))), "{fault:?}: {:?}", report.failure);
        assert_eq!((report.accepted, report.delivered.len(), receiver.received().len()), (0, 0, 1));
    }
}

#[tokio::test]
async fn requested_pause_is_kept() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
    let exhausted = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
    for (grpc, fault) in [(false, Answer::Http(429, Some("2"))), (true, Answer::Grpc(exhausted))] {
        let (report, receiver) = once(grpc, vec![fault], PATIENCE).await;
        assert_eq!((report.failure, report.accepted), (None, POINTS));
        let received = receiver.received();
        let wait = received[1].at - received[0].at;
        assert!(wait >= Duration::from_secs(2), "{wait:?}");
    }
}

#[tokio::test]
async fn requested_pause_outlives_the_export() {
    let receiver = Faulty::start(false, [Answer::Http(429, Some("3600"))]).await;
    let [endpoint, protocol] = variables(&receiver, false);
    let mut exporter = exporter(&[(endpoint.0, &endpoint.1), (protocol.0, &protocol.1)]);
    for _ in 0..2 {
        let report = export(&mut exporter, &two_interfaces(), Duration::from_secs(1)).await;
        assert!(matches!(report.failure, Some(Failure::Busy { .. })), "{:?}", report.failure);
    }
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn partial_success_is_counted() {
    for grpc in [false, true] {
        let (report, receiver) = once(grpc, vec![Answer::Reject(7)], PATIENCE).await;
        assert_eq!((report.failure, report.accepted, report.rejected), (None, POINTS - 7, 7));
        assert_eq!(receiver.received().len(), 1);
    }
}

#[tokio::test]
async fn first_export_after_outage_is_complete() {
    for grpc in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let endpoint = format!("http://{address}");
        let mut exporter =
            exporter(&[("ENDPOINT", &endpoint), ("PROTOCOL", if grpc { "grpc" } else { "http/protobuf" })]);
        let away = export(&mut exporter, &two_interfaces(), Duration::from_millis(100)).await;
        assert!(matches!(away.failure, Some(Failure::Unreachable(_))), "{:?}", away.failure);
        let receiver = Faulty::listen(TcpListener::bind(address).await.expect("the same port"), grpc, []);
        let back = export(&mut exporter, &two_interfaces(), PATIENCE).await;
        assert_eq!((back.failure, back.accepted, receiver.received().len()), (None, POINTS, 1));
    }
}
