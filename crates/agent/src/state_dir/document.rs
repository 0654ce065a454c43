//! The file of a state: its checksum, a line of JSON, then the bodies of requests.

use std::io;

use flate2::Crc;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::metrics::series::SavedStream;

/// First word of a file.
const MAGIC: &[u8] = b"netns-agent-state-1\n";

const CHECKSUM: usize = size_of::<u32>();

/// The state of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Boot of the machine, set by [`StateDir`](super::StateDir).
    pub(crate) boot: String,
    /// Attributes of the agent on every Resource.
    pub(crate) agent: String,
    /// Series of interfaces.
    pub(crate) streams: Vec<SavedStream>,
    /// Items and length of each request.
    pub(crate) sizes: Vec<(usize, usize)>,
    /// Last points that have not arrived, as requests to the receiver.
    #[serde(skip)]
    pub(crate) requests: Vec<Request>,
}

/// An encoded OTLP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Data points.
    pub(crate) items: usize,
    /// The message.
    pub(crate) body: Bytes,
}

impl State {
    pub(super) fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        self.sizes = self.requests.iter().map(|request| (request.items, request.body.len())).collect();
        let mut rest = serde_json::to_vec(&self)?;
        rest.push(b'\n');
        self.requests.iter().for_each(|request| rest.extend_from_slice(&request.body));
        Ok([MAGIC, &checksum(&rest).to_le_bytes(), &rest].concat())
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (sum, rest) = bytes
            .strip_prefix(MAGIC)
            .and_then(|bytes| bytes.split_first_chunk::<CHECKSUM>())
            .ok_or("it is not a state of this version")?;
        if u32::from_le_bytes(*sum) != checksum(rest) {
            return Err("its checksum is wrong");
        }
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("it has no end of its first line")?;
        let mut state: Self = serde_json::from_slice(&rest[..end]).map_err(|_| "its first line cannot be read")?;
        let mut bodies = Bytes::copy_from_slice(&rest[end + 1..]);
        for (items, length) in std::mem::take(&mut state.sizes) {
            if length > bodies.len() {
                return Err("a request is cut");
            }
            state.requests.push(Request { items, body: bodies.split_to(length) });
        }
        Ok(state)
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
