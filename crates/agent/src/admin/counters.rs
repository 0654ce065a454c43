//! `/v1/counters` and `/v1/node`.

use std::collections::HashSet;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Selection, Shared, fault};
use crate::json::{CountersView, NodeView};

/// `/v1/counters?namespace=&pod=&netns=`: counters of the interfaces that match all parameters.
pub(super) async fn counters(State(handles): Shared, selection: Result<Query<Selection>, QueryRejection>) -> Response {
    let Query(selection) = match selection {
        Ok(selection) => selection,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let snapshot = match (handles.counters)().await {
        Ok(snapshot) => snapshot,
        Err(reason) => return fault(StatusCode::SERVICE_UNAVAILABLE, &reason),
    };
    // After the reading, so that an interface that is newer than its counters is left out.
    let interfaces = (handles.interfaces)();
    let shown: HashSet<_> =
        interfaces.iter().filter(|interface| selection.matches(interface)).map(|interface| interface.id).collect();
    let readings = snapshot.readings.iter().filter(|reading| shown.contains(&reading.id));
    Json(CountersView::new(snapshot.time, readings)).into_response()
}

/// `/v1/node`: the node that the answers are about.
pub(super) async fn node(State(handles): Shared) -> Response {
    Json(NodeView { node: &handles.node, version: env!("CARGO_PKG_VERSION") }).into_response()
}
