//! `/v1/lookup`: one interface, or a batch.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Shared, fault};
use crate::json::LookupView;
use crate::lookup;

/// Lookups of one batch.
pub(super) const BATCH: usize = 1_000;
/// Bytes of the body of a batch.
pub(super) const BODY: usize = 256 * 1024;

/// `/v1/lookup?ifindex=&mac=&netns=`, or an element of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupQuery {
    ifindex: u32,
    mac: Option<String>,
    netns: Option<String>,
}

impl LookupQuery {
    fn parse(self) -> Result<lookup::Query, String> {
        let mac = self.mac.filter(|mac| !mac.is_empty()).map(|mac| mac.parse()).transpose();
        let mac = mac.map_err(|error| format!("mac: {error}"))?;
        Ok(lookup::Query { ifindex: self.ifindex, mac, netns: self.netns.filter(|netns| !netns.is_empty()) })
    }
}

pub(super) async fn one(State(handles): Shared, query: Result<Query<LookupQuery>, QueryRejection>) -> Response {
    let query = match query {
        Ok(Query(query)) => query.parse(),
        Err(error) => Err(error.body_text()),
    };
    let query = match query {
        Ok(query) => query,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error),
    };
    match (handles.lookup)(&query) {
        Some(answer) => Json(LookupView::from(&answer)).into_response(),
        None => fault(StatusCode::NOT_FOUND, &format!("no interface has the ifindex {}", query.ifindex)),
    }
}

/// The answers are in the order of the lookups, `null` where no interface matches.
pub(super) async fn batch(State(handles): Shared, body: Result<Json<Vec<LookupQuery>>, JsonRejection>) -> Response {
    let queries = match body {
        Ok(Json(queries)) => queries,
        // Also a body that is too long, or not JSON by its content type.
        Err(error) => return fault(error.status(), &error.body_text()),
    };
    if queries.len() > BATCH {
        return fault(StatusCode::PAYLOAD_TOO_LARGE, "a batch has at most 1,000 lookups; send several");
    }
    let numbered = queries.into_iter().enumerate();
    let parsed = numbered.map(|(n, query)| query.parse().map_err(|error| format!("lookup {n}: {error}")));
    let queries: Vec<_> = match parsed.collect() {
        Ok(queries) => queries,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error),
    };
    let answers: Vec<_> = queries.iter().map(|query| (handles.lookup)(query)).collect();
    let views: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(LookupView::from)).collect();
    Json(views).into_response()
}
