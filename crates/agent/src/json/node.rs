//! The node.

use serde::Serialize;

/// The answer of `/v1/node`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NodeView<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Version of the agent.
    pub version: &'static str,
}
