//! `/v1/watch`: everything that exists, then changes, as lines of JSON or as Server-Sent Events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::places::Endless;
use super::{Selection, Shared, fault};
use crate::feed::{Batch, Reader, Refused};
use crate::json::LineView;

/// Time between two heartbeats. A connection without progress for longer than [`super::server::STALL`] is cut.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `/v1/watch?namespace=&pod=&netns=&resume=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchQuery {
    namespace: Option<String>,
    pod: Option<String>,
    netns: Option<String>,
    resume: Option<u64>,
}

/// Form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An object per line.
    Lines,
    /// Server-Sent Events (HTML, section 9.2).
    Events,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        if accept.contains("text/event-stream") { Self::Events } else { Self::Lines }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn write(self, out: &mut Vec<u8>, view: &LineView<'_>) {
        let number = match self {
            Self::Lines => String::new(),
            Self::Events => format!("id: {}\nevent: {}\ndata: ", view.seq(), view.event()),
        };
        out.extend(number.as_bytes());
        // Writing to a Vec cannot fail, and every part of a view can be written.
        let _ = serde_json::to_writer(&mut *out, view);
        out.extend(if self == Self::Events { &b"\n\n"[..] } else { b"\n" });
    }
}

pub(super) async fn watch(
    State(handles): Shared,
    headers: HeaderMap,
    query: Result<Query<WatchQuery>, QueryRejection>,
) -> Response {
    let WatchQuery { namespace, pod, netns, resume } = match query {
        Ok(Query(query)) => query,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    // A browser's EventSource adds the header when the connection was cut.
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let selection = Selection { namespace, pod, netns };
    let select = Box::new(move |interface: &_| selection.matches(interface));
    let reader = match handles.feed.subscribe(last_id.or(resume), select) {
        Ok(reader) => reader,
        Err(refused @ Refused::Forgotten) => return fault(StatusCode::GONE, &refused.to_string()),
        Err(refused @ Refused::Crowded) => return fault(StatusCode::SERVICE_UNAVAILABLE, &refused.to_string()),
    };
    let form = Form::of(&headers);
    let headers =
        [(header::CONTENT_TYPE, form.content_type()), (header::CACHE_CONTROL, "no-store"), (header::VARY, "Accept")];
    let mut response = (headers, body(reader, form)).into_response();
    response.extensions_mut().insert(Endless);
    response
}

/// The lines of a reader, in pieces; a piece is made when the connection can take the piece.
fn body(reader: Reader, form: Form) -> Body {
    let next = Instant::now() + HEARTBEAT;
    Body::from_stream(stream::unfold(Some((reader, next)), move |state| async move {
        let (mut reader, mut heartbeat) = state?;
        loop {
            let mut piece = Vec::new();
            match reader.read() {
                Batch::Lines(lines) if lines.is_empty() => {}
                Batch::Lines(lines) => {
                    lines.iter().for_each(|line| form.write(&mut piece, &LineView::from(line)));
                    heartbeat = Instant::now() + HEARTBEAT;
                    return Some((Ok::<_, Infallible>(Bytes::from(piece)), Some((reader, heartbeat))));
                }
                Batch::Behind => {
                    form.write(&mut piece, &LineView::restart(reader.last()));
                    return Some((Ok(piece.into()), None));
                }
            }
            tokio::select! {
                () = reader.changed() => {}
                () = sleep_until(heartbeat) => {
                    form.write(&mut piece, &LineView::heartbeat(reader.seq()));
                    return Some((Ok(piece.into()), Some((reader, Instant::now() + HEARTBEAT))));
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests;
