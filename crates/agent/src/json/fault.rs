//! An error of the admin server.

use serde::Serialize;

/// The body of every answer of `/v1/…` whose status is not 200.
#[derive(Clone, Debug, Serialize)]
pub struct FaultView<'a> {
    /// One sentence: the reason and the remedy.
    pub error: &'a str,
}
