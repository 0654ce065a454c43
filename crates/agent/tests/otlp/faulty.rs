//! A receiver with scripted faults that keeps all requests.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;

/// Answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Accept,
    /// Rejects this number of points.
    Reject(i64),
    /// An HTTP status, and `Retry-After`.
    Http(u16, Option<&'static str>),
    Grpc(tonic::Status),
    /// No answer.
    Hang,
    /// The connection is closed.
    Cut,
}

/// A received request.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) bytes: usize,
    pub(crate) request: ExportMetricsServiceRequest,
}

/// The receiver; terminated when dropped.
pub(crate) struct Faulty {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    script: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
}

impl Faulty {
    /// Answers according to `script` and accepts all later requests. `grpc` decides about HTTP/2.
    pub(crate) async fn start(grpc: bool, script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::listen(listener, grpc, script)
    }

    pub(crate) fn listen(listener: TcpListener, grpc: bool, script: impl IntoIterator<Item = Answer>) -> Self {
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State { script: Mutex::new(script.into_iter().collect()), ..State::default() });
        let mut tasks = JoinSet::new();
        let serving = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *serving.connections.lock().expect("count") += 1;
                let state = serving.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { state.answer(grpc, request).await }
                });
                connections.spawn(async move {
                    let stream = TokioIo::new(stream);
                    // A closed connection is an expected error.
                    let _ = if grpc {
                        http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
                    } else {
                        http1::Builder::new().serve_connection(stream, service).await
                    };
                });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().expect("what was received"))
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().expect("count")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl State {
    async fn answer(&self, grpc: bool, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        // A gRPC message follows a flag and its length.
        let message = if grpc { body.slice(5..) } else { body };
        let bytes = message.len();
        let request = ExportMetricsServiceRequest::decode(message).expect("a request that can be decoded");
        self.received.lock().expect("what was received").push(Received { at: Instant::now(), bytes, request });
        let answer = self.script.lock().expect("the script").pop_front().unwrap_or(Answer::Accept);
        match answer {
            Answer::Accept => Ok(success(grpc, 0)),
            Answer::Reject(number) => Ok(success(grpc, number)),
            Answer::Http(status, after) => {
                let mut response = Response::builder().status(status);
                if let Some(after) = after {
                    response = response.header("retry-after", after);
                }
                Ok(response.body(Body::default()).expect("a response"))
            }
            Answer::Grpc(status) => Ok(status.into_http()),
            Answer::Hang => std::future::pending().await,
            Answer::Cut => Err(Cut),
        }
    }
}

fn success(grpc: bool, rejected_data_points: i64) -> Response<Body> {
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: "no room".to_owned() };
    let partial_success = (rejected_data_points > 0).then_some(partial);
    let message = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
    if !grpc {
        return Response::new(Body::new(Full::new(Bytes::from(message)).map_err(|never: Infallible| match never {})));
    }
    let length = u32::try_from(message.len()).expect("a short answer").to_be_bytes();
    let framed = Bytes::from([&[0][..], &length, &message].concat());
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a header"));
    let body =
        Full::new(framed).map_err(|never: Infallible| match never {}).with_trailers(async { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc").body(Body::new(body));
    response.expect("a response")
}
