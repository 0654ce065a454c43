//! Connections to a receiver: direct, or through the tunnel of a proxy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::proxy::Proxy;
use crate::secret::Endpoint;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections, without TLS.
#[derive(Clone, Debug)]
pub(super) enum Connector {
    /// To the receiver.
    Direct(HttpConnector),
    /// To the proxy of this URL, which connects to the receiver.
    Tunnel(Box<Tunnel<HttpConnector>>, Endpoint),
}

/// A failure at or behind a proxy.
#[derive(Debug, thiserror::Error)]
#[error("through the proxy {proxy}")]
struct BehindProxy {
    proxy: Endpoint,
    source: BoxError,
}

impl Connector {
    pub(super) fn new(tcp: HttpConnector, proxy: Option<&Proxy>) -> Self {
        let Some(Proxy { uri, authorization }) = proxy else { return Self::Direct(tcp) };
        let tunnel = Tunnel::new(uri.expose().clone(), tcp);
        let tunnel = match authorization {
            Some(authorization) => tunnel.with_auth(authorization.clone()),
            None => tunnel,
        };
        Self::Tunnel(Box::new(tunnel), uri.clone())
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Tunnel(tunnel, _) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(target);
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
            Self::Tunnel(tunnel, proxy) => {
                let (connecting, proxy) = (tunnel.call(with_port(target)), proxy.clone());
                Box::pin(
                    async move { connecting.await.map_err(|error| BehindProxy { proxy, source: error.into() }.into()) },
                )
            }
        }
    }
}

/// The tunnel takes 443 for a missing port.
fn with_port(target: Uri) -> Uri {
    if target.scheme() != Some(&Scheme::HTTP) || target.port().is_some() {
        return target;
    }
    let mut parts = target.clone().into_parts();
    let authority = parts.authority.as_ref().and_then(|authority| format!("{authority}:80").parse::<Authority>().ok());
    parts.authority = authority.or(parts.authority);
    Uri::from_parts(parts).unwrap_or(target)
}
