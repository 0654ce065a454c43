//! Carries encoded requests: gRPC, or HTTP with protobuf or JSON.

use std::error::Error;
use std::time::SystemTime;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Buf, Bytes};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message as _;
use prost::bytes::BufMut;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic_types::StatusExt;

use crate::causes::chain;
use crate::export::gzip::Compressed;
use crate::export::otlp::connector::Connector;
use crate::export::otlp::json;
use crate::export::otlp::retry::Failure;
use crate::export::otlp::tls::{TlsError, client_config};
use crate::export::settings::{OtlpSettings, Protocol, Signal};
use crate::tls_provider::provider;

/// An answer holds a count and perhaps a sentence.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Most characters of a receiver's message in a log line.
const LONGEST_MESSAGE: usize = 200;

/// Sends requests over a connection made on demand.
#[derive(Debug)]
pub(super) struct Transport {
    signal: Signal,
    settings: OtlpSettings,
    client: Option<AnyClient>,
}

#[derive(Debug)]
enum AnyClient {
    Grpc(Grpc<Client<HttpsConnector<Connector>, tonic::body::Body>>),
    Http(Client<HttpsConnector<Connector>, Full<Bytes>>),
}

impl Transport {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When certificates or keys cannot be used.
    pub(super) fn new(signal: Signal, settings: OtlpSettings) -> Result<Self, TlsError> {
        let client = AnyClient::new(&settings)?;
        Ok(Self { signal, settings, client: Some(client) })
    }

    /// Where requests go.
    #[must_use]
    pub(super) fn settings(&self) -> &OtlpSettings {
        &self.settings
    }

    /// Sends one encoded request once, and waits for its answer no longer than the timeout.
    ///
    /// After a failure the next request takes a new connection and reads certificates again: a hanging
    /// connection would be used until the kernel gives up, a quarter of an hour later.
    ///
    /// # Errors
    /// Fails where delivery is not confirmed; after cancelling, delivery is unknown, too.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<Bytes, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => AnyClient::new(&self.settings).map_err(|error| Failure::Unreachable(chain(&error)))?,
        };
        let exchange = client.exchange(self.signal, &self.settings, body);
        let (client, answer) = tokio::time::timeout(self.settings.timeout, exchange)
            .await
            .map_err(|_| Failure::Timeout(self.settings.timeout))?;
        if !matches!(answer, Err(Failure::Unreachable(_))) {
            self.client = Some(client);
        }
        answer
    }
}

impl AnyClient {
    fn new(settings: &OtlpSettings) -> Result<Self, TlsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.timeout));
        let connector = Connector::new(tcp, settings.proxy.as_ref());
        let config = match settings.endpoint.expose().scheme_str() {
            Some("https") => client_config(&settings.tls)?,
            // Never used, and the system may have no authorities.
            _ => rustls::ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(TlsError::Setup)?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        };
        let https = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_max_idle_per_host(1);
        Ok(match settings.protocol {
            Protocol::Grpc => {
                let client = builder.http2_only(true).build(https.enable_http2().wrap_connector(connector));
                let grpc = Grpc::with_origin(client, settings.endpoint.expose().clone());
                let grpc = grpc.max_decoding_message_size(LARGEST_ANSWER).accept_compressed(CompressionEncoding::Gzip);
                Self::Grpc(if settings.gzip { grpc.send_compressed(CompressionEncoding::Gzip) } else { grpc })
            }
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                Self::Http(builder.build(https.enable_all_versions().wrap_connector(connector)))
            }
        })
    }

    async fn exchange(self, signal: Signal, settings: &OtlpSettings, body: Bytes) -> (Self, Result<Bytes, Failure>) {
        match self {
            Self::Grpc(mut grpc) => {
                let answer = unary(&mut grpc, signal, settings, body).await;
                (Self::Grpc(grpc), answer)
            }
            Self::Http(client) => {
                let answer = post(&client, signal, settings, body).await;
                (Self::Http(client), answer)
            }
        }
    }
}

fn headers(settings: &OtlpSettings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.extend(settings.headers.iter().cloned());
    headers
}

async fn unary(
    grpc: &mut Grpc<Client<HttpsConnector<Connector>, tonic::body::Body>>,
    signal: Signal,
    settings: &OtlpSettings,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let path = PathAndQuery::from_static(match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    });
    let mut request = tonic::Request::new(body);
    *request.metadata_mut() = MetadataMap::from_headers(headers(settings));
    request.set_timeout(settings.timeout);
    grpc.ready().await.map_err(|error| Failure::Unreachable(causes(&error)))?;
    match grpc.unary(request, path, Raw).await {
        Ok(response) => Ok(response.into_inner()),
        // Only a status made of a connection error has a source.
        Err(status) if status.source().is_some() => Err(Failure::Unreachable(unreachable(&status))),
        Err(status) => {
            let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
            Err(Failure::from_grpc(status.code(), status.message(), after))
        }
    }
}

async fn post(
    client: &Client<HttpsConnector<Connector>, Full<Bytes>>,
    signal: Signal,
    settings: &OtlpSettings,
    body: Bytes,
) -> Result<Bytes, Failure> {
    let refused = |error: &dyn Error| Failure::Refused(causes(error));
    let (body, content_type) = match settings.protocol {
        Protocol::HttpJson => {
            (json::request(signal, &body).map_err(|error| refused(&*error))?.into(), "application/json")
        }
        Protocol::Grpc | Protocol::HttpProtobuf => (body, "application/x-protobuf"),
    };
    let body = match settings.gzip {
        true => Compressed::new(|to| to.write_all(&body)).map_err(|error| refused(&error))?.into_bytes(),
        false => body,
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = settings.endpoint.expose().clone();
    *request.headers_mut() = headers(settings);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if settings.gzip {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let response = client.request(request).await.map_err(|error| Failure::Unreachable(unreachable(&error)))?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let failure = Failure::from_http(head.status, retry_after, SystemTime::now());
        let message = Limited::new(body, LARGEST_ANSWER).collect().await.map(|body| body.to_bytes());
        return Err(failure.explain(&explanation(head.status, settings, &message.unwrap_or_default())));
    }
    match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(Failure::Unreachable(causes(&*error))),
    }
}

/// Explains a refusal besides its status: the missing path, or the message of the
/// `google.rpc.Status` in the answer.
fn explanation(status: StatusCode, settings: &OtlpSettings, body: &[u8]) -> String {
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        let path = settings.endpoint.expose().path();
        return format!("for the path {path}; receivers expect /v1/metrics and /v1/logs, perhaps below a prefix");
    }
    let message = match settings.protocol {
        Protocol::HttpJson => json::refusal(body),
        _ => tonic_types::Status::decode(body).map(|status| status.message).unwrap_or_default(),
    };
    message.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect()
}

/// The causes of a failed connection, and the remedy where receiver and agent speak different protocols.
///
/// An HTTP/1.1 answer read as HTTP/2 is a frame of an impossible size. A server of HTTP/2 alone speaks first, which no
/// server of HTTP/1.1 does, or its answer has no version of HTTP/1.
fn unreachable(error: &dyn Error) -> String {
    let causes = causes(error);
    let remedy = if causes.contains("FRAME_SIZE_ERROR") || causes.contains("frame with invalid size") {
        "; the receiver speaks HTTP/1.1 and not gRPC: set --otlp-protocol http/protobuf, or its port for gRPC (usually \
         4317)"
    } else if ["invalid HTTP version parsed", "received unexpected message from connection"]
        .iter()
        .any(|text| causes.contains(text))
    {
        "; the receiver speaks HTTP/2 alone, as gRPC does: set --otlp-protocol grpc, or its port for HTTP (usually 4318)"
    } else {
        ""
    };
    causes + remedy
}

/// An error with all its causes, in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A codec for encoded messages.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
