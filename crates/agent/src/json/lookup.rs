//! The answer of a lookup.

use serde::Serialize;

use super::InterfaceView;
use crate::lookup::Answer;

/// An answer as `lookup -o json` and `/v1/lookup` show it.
#[derive(Clone, Debug, Serialize)]
pub struct LookupView<'a> {
    confidence: &'static str,
    interface: InterfaceView<'a>,
}

impl<'a> From<&'a Answer> for LookupView<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self { confidence: answer.confidence.as_str(), interface: InterfaceView::from(&*answer.interface) }
    }
}
