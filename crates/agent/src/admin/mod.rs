//! The admin server: is it alive, is it ready, what does it know.
//!
//! It listens on loopback unless told otherwise, answers GET only, reads no bodies, and bounds headers,
//! time and connections (see [`serve`]).

mod server;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::interface::Interface;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use iface_core::MacAddr;
use serde::{Deserialize, Serialize};

pub use self::server::serve;
use crate::export::gzip::Compressed;
use crate::export::prometheus::Format;
use crate::json::InterfaceView;

/// Longest time for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A page that takes time to make.
pub type Page = Pin<Box<dyn Future<Output = Result<Compressed, String>> + Send>>;

/// Answers what is wanted.
pub type Lookup = Box<dyn Fn(&Wanted) -> Option<Found> + Send + Sync>;

/// What the server asks; each must answer at once, but for [`Handles::metrics`].
pub struct Handles {
    /// Why the agent is not ready; `Ok` when it is.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Every interface known now.
    pub interfaces: Box<dyn Fn() -> Vec<Arc<Interface>> + Send + Sync>,
    /// Which interface has this index and perhaps this MAC address.
    pub lookup: Lookup,
    /// The metrics' page in this format.
    pub metrics: Box<dyn Fn(Format) -> Page + Send + Sync>,
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

/// What `/v1/lookup` looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its number.
    pub ifindex: u32,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// The name of its namespace, or `host`.
    pub netns: Option<String>,
}

/// What a lookup found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The interface.
    pub interface: Arc<Interface>,
    /// How sure that is: `exact`, `preferred` or `guess`.
    pub certainty: &'static str,
}

/// The routes, with a limit on the time of each answer.
pub fn router(handles: Handles) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/interfaces", get(interfaces))
        .route("/v1/lookup", get(lookup))
        .layer(middleware::from_fn(in_time))
        .with_state(Arc::new(handles))
}

type Shared = State<Arc<Handles>>;

async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_TIME, next.run(request)).await;
    answer.unwrap_or_else(|_| fault(StatusCode::GATEWAY_TIMEOUT, "it took too long to find that out; try again"))
}

async fn ready(State(handles): Shared) -> Response {
    match (handles.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn metrics(State(handles): Shared, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(text(header::ACCEPT));
    let page = match (handles.metrics)(format).await {
        Ok(page) => page,
        Err(reason) => return fault(StatusCode::SERVICE_UNAVAILABLE, &reason),
    };
    let content_type = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept, Accept-Encoding")];
    if text(header::ACCEPT_ENCODING).is_some_and(takes_gzip) {
        return (content_type, [(header::CONTENT_ENCODING, "gzip")], page.into_bytes()).into_response();
    }
    // Whole, it may be tens of megabytes.
    (content_type, Body::from_stream(stream::iter(page.expand()))).into_response()
}

fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| part == "q=0")
    })
}

/// `/v1/interfaces?namespace=&pod=&netns=`: those that match all that is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    namespace: Option<String>,
    pod: Option<String>,
    netns: Option<String>,
}

impl Selection {
    fn matches(&self, interface: &Interface) -> bool {
        let pod = interface.owner.as_ref().map(|owner| &owner.pod);
        let is = |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        let place = || interface.netns.place.to_string();
        is(&self.namespace, pod.map(|pod| &pod.namespace))
            && is(&self.pod, pod.map(|pod| &pod.name))
            && self.netns.as_ref().is_none_or(|wanted| *wanted == place())
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

/// `/v1/lookup?ifindex=&mac=&netns=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupQuery {
    ifindex: u32,
    mac: Option<String>,
    netns: Option<String>,
}

#[derive(Serialize)]
struct FoundView<'a> {
    certainty: &'static str,
    interface: InterfaceView<'a>,
}

async fn lookup(State(handles): Shared, query: Result<Query<LookupQuery>, QueryRejection>) -> Response {
    let Query(LookupQuery { ifindex, mac, netns }) = match query {
        Ok(query) => query,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let mac = match mac.filter(|mac| !mac.is_empty()).map(|mac| mac.parse()).transpose() {
        Ok(mac) => mac,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &format!("mac: {error}")),
    };
    let netns = netns.filter(|netns| !netns.is_empty());
    match (handles.lookup)(&Wanted { ifindex, mac, netns }) {
        Some(Found { interface, certainty }) => {
            axum::Json(FoundView { certainty, interface: InterfaceView::from(&*interface) }).into_response()
        }
        None => fault(StatusCode::NOT_FOUND, &format!("no interface has the index {ifindex} there")),
    }
}

#[derive(Serialize)]
struct FaultView<'a> {
    error: &'a str,
}

fn fault(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(FaultView { error })).into_response()
}

#[cfg(test)]
mod tests;
