//! Looks an interface up by ifindex and MAC address or namespace, for `lookup` and `/v1/lookup`.

use std::sync::Arc;

use iface_core::{Confidence, MacAddr, NetnsRef};

use crate::interface::{Interface, Lookup};

/// The interface to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its ifindex.
    pub ifindex: u32,
    /// Its link-layer address.
    pub mac: Option<MacAddr>,
    /// Its namespace: the name, `host`, `nsid:7`, the inode (`net:[4026532461]` or the number alone) or the cookie.
    pub netns: Option<String>,
}

/// The interface found.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The interface.
    pub interface: Arc<Interface>,
    /// Confidence in the answer.
    pub confidence: Confidence,
}

/// Finds the interface that matches the query best; a query with a namespace is answered exactly or not at all.
#[must_use]
pub fn find(lookup: &Lookup, query: &Query) -> Option<Answer> {
    let found = match query.netns.as_deref() {
        Some(text) => NetnsRef::meanings(text).find_map(|netns| lookup.in_netns(netns, query.ifindex)),
        None => lookup.for_index_and_mac(query.ifindex, query.mac.as_ref()),
    }?;
    Some(Answer { interface: found.to_arc(), confidence: found.confidence })
}
