//! The admin server: health, metrics and interfaces over HTTP.
//!
//! It listens on loopback by default, reads no bodies but those of batches of lookups, and bounds headers,
//! time and connections (see [`serve`]).

mod accept;
mod authorization;
mod counters;
mod host;
mod index;
mod lookup;
mod openapi;
mod page;
mod places;
mod server;
mod socket;
mod tls;
mod watch;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::interface::Interface;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures_util::stream;
use iface_core::NetnsRef;
use serde::Deserialize;

pub use self::authorization::{Gate, Reviews};
pub use self::server::{Listener, bind, serve};
pub use self::socket::{Socket, SocketError, SocketOptions};
pub use self::tls::{ServerFiles, ServerTlsError, Tls};
use crate::export::gzip::Compressed;
use crate::export::prometheus::Format;
use crate::feed::Feed;
use crate::json::{FaultView, InterfaceView};
use crate::printable::Printable;

/// Longest time for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A metrics page in the making.
pub type Page = Pin<Box<dyn Future<Output = Result<Compressed, String>> + Send>>;

/// Counters of all interfaces in the making, with their time.
pub type Reading = Pin<Box<dyn Future<Output = Result<Arc<Readings>, String>> + Send>>;

/// Counters of all interfaces at one time.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Time of the reading.
    pub time: SystemTime,
    /// Counters of each interface.
    pub readings: Vec<netns_scan::Reading>,
}

/// Answers a lookup.
pub type Lookup = Box<dyn Fn(&crate::lookup::Query) -> Option<crate::lookup::Answer> + Send + Sync>;

/// The sources of the server's answers; each answers at once, but for [`Handles::metrics`].
pub struct Handles {
    /// `Ok` when the agent is ready, with a fault that is tolerated; else the reason.
    pub ready: Box<dyn Fn() -> Result<Option<String>, String> + Send + Sync>,
    /// Every interface known now.
    pub interfaces: Box<dyn Fn() -> Vec<Arc<Interface>> + Send + Sync>,
    /// Looks up an interface by ifindex and MAC address or namespace.
    pub lookup: Lookup,
    /// Reads the counters of all interfaces.
    pub counters: Box<dyn Fn() -> Reading + Send + Sync>,
    /// Name of the node.
    pub node: String,
    /// Events for `/v1/watch`.
    pub feed: Arc<Feed>,
    /// The metrics' page in this format.
    pub metrics: Box<dyn Fn(Format) -> Page + Send + Sync>,
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

/// All routes, with a limit on the time of each answer.
pub fn router(handles: impl Into<Arc<Handles>>) -> Router {
    let routes = routes().into_iter().chain(page::assets());
    let router = routes.fold(metrics_routes(get(metrics)), |router, (path, route)| router.route(path, route));
    finish(router.layer(DefaultBodyLimit::max(lookup::BODY)), handles)
}

type Route = (&'static str, MethodRouter<Arc<Handles>>);

/// The routes beside those of [`metrics_routes`].
fn routes() -> [Route; 7] {
    [
        ("/", get(page::index)),
        ("/openapi.json", get(async || axum::Json(openapi::document()))),
        ("/v1/interfaces", get(interfaces)),
        ("/v1/counters", get(counters::counters)),
        ("/v1/node", get(counters::node)),
        ("/v1/watch", get(watch::watch)),
        ("/v1/lookup", get(lookup::one).post(lookup::batch)),
    ]
}

/// Metrics and probes alone, for a server that more clients reach: they learn neither addresses nor peers.
pub fn metrics_router(handles: impl Into<Arc<Handles>>) -> Router {
    metrics_alone(get(metrics), handles)
}

/// As [`metrics_router`], for requests with a token that may get metrics; probes need no token.
pub fn guarded_router(handles: impl Into<Arc<Handles>>, gate: Gate) -> Router {
    let guard = middleware::from_fn_with_state(Arc::new(gate), authorization::check);
    metrics_alone(get(metrics).layer(guard), handles)
}

fn metrics_alone(metrics: MethodRouter<Arc<Handles>>, handles: impl Into<Arc<Handles>>) -> Router {
    finish(metrics_routes(metrics).route("/", get(async || Html(index::METRICS))), handles)
}

fn metrics_routes(metrics: MethodRouter<Arc<Handles>>) -> Router<Arc<Handles>> {
    Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", metrics)
}

fn finish(router: Router<Arc<Handles>>, handles: impl Into<Arc<Handles>>) -> Router {
    router.layer(middleware::from_fn(in_time)).with_state(handles.into())
}

type Shared = State<Arc<Handles>>;

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_TIME, next.run(request)).await;
    answer.unwrap_or_else(|_| fault(StatusCode::GATEWAY_TIMEOUT, "the answer took more than 10 s; try again"))
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(handles): Shared) -> Response {
    match (handles.ready)() {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(fault)) => format!("ready, with a fault: {}\n", Printable(fault)).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", Printable(reason))).into_response(),
    }
}

async fn metrics(State(handles): Shared, headers: HeaderMap) -> Response {
    let format = accept::format(&headers);
    let page = match (handles.metrics)(format).await {
        Ok(page) => page,
        Err(reason) => return fault(StatusCode::SERVICE_UNAVAILABLE, &reason),
    };
    let content_type = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept, Accept-Encoding")];
    if accept::gzip(&headers) {
        return (content_type, [(header::CONTENT_ENCODING, "gzip")], page.into_bytes()).into_response();
    }
    // In one piece the page may take tens of megabytes.
    (content_type, Body::from_stream(stream::iter(page.expand()))).into_response()
}

/// `/v1/interfaces?namespace=&pod=&netns=`: interfaces that match all parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    namespace: Option<String>,
    pod: Option<String>,
    netns: Option<String>,
}

impl Selection {
    fn matches(&self, interface: &Interface) -> bool {
        let pod = interface.owner.as_ref().and_then(|owner| owner.pod());
        let is = |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        is(&self.namespace, pod.map(|pod| &pod.namespace))
            && is(&self.pod, pod.map(|pod| &pod.name))
            && self.netns.as_ref().is_none_or(|text| NetnsRef::meanings(text).any(|netns| netns.is(&interface.netns)))
    }
}

async fn interfaces(State(handles): Shared, selection: Result<Query<Selection>, QueryRejection>) -> Response {
    let Query(selection) = match selection {
        Ok(selection) => selection,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let mut interfaces = (handles.interfaces)();
    interfaces.retain(|interface| selection.matches(interface));
    interfaces.sort_unstable_by(|a, b| (&a.netns.place, a.ifindex).cmp(&(&b.netns.place, b.ifindex)));
    let views: Vec<_> = interfaces.iter().map(|interface| InterfaceView::from(&**interface)).collect();
    axum::Json(views).into_response()
}

fn fault(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(FaultView { error })).into_response()
}

#[cfg(test)]
mod tests;
