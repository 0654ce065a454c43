//! Iteration over the attributes of a link, the hottest loop of the crate.
//!
//! `NlasIterator` of `netlink-packet-core` reads the same layout, and reads all other messages here,
//! but takes 2.6 times as long for a dump of links (docs/benchmarks.md): each integer passes through
//! a `Result` with a heap-allocated error.

use super::{Malformed, align};
use netlink_packet_core::{NLA_HEADER_SIZE, NLA_TYPE_MASK};

/// `struct nlattr` after `struct nlattr`, as attribute type and value.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let Some(&[l0, l1, t0, t1]) = rest.first_chunk() else {
            return Some(Err(Malformed("attribute header cut off")));
        };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = rest.get(NLA_HEADER_SIZE..len) else { return Some(Err(Malformed("attribute cut off"))) };
        self.0 = rest.get(align(len)..).unwrap_or_default();
        Some(Ok((u16::from_ne_bytes([t0, t1]) & NLA_TYPE_MASK, value)))
    }
}
