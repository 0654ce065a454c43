//! Replay of the fuzzer's corpus, as recorded and with changed bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::fs;

use netns_scan::netlink::message::{Body, parse};
use proptest::prelude::*;

/// Datagrams captured from a kernel, and the fuzzer's mutations of them.
fn corpus() -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/netlink_message");
    let files = fs::read_dir(path).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let corpus: Vec<_> = files.collect();
    assert!(corpus.len() > 20, "the corpus is in {path}");
    corpus
}

/// Reads a datagram; returns the number of links in it.
fn read(datagram: &[u8]) -> usize {
    let links = parse(datagram).filter_map(Result::ok).filter_map(|message| match message.body {
        Body::NewLink(link) => {
            _ = link.counters();
            link.link().ok().flatten()
        }
        _ => None,
    });
    links.count()
}

#[test]
fn corpus_describes_links() {
    let links: usize = corpus().iter().map(|datagram| read(datagram)).sum();
    assert!(links > 20, "only {links}");
}

#[test]
fn truncated_datagrams_never_panic() {
    for datagram in corpus() {
        for len in 0..datagram.len() {
            read(&datagram[..len]);
        }
    }
}

/// The reader and the full parser of `netlink-packet-route` agree on every recorded message.
#[test]
fn corpus_agrees_with_netlink_packet_route() {
    let compared: usize = corpus().iter().map(|datagram| reference::compare(datagram)).sum();
    assert!(compared > 50, "only {compared} messages were compared");
}

proptest! {
    #[test]
    fn corrupted_datagrams_never_panic(
        which in any::<prop::sample::Index>(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let corpus = corpus();
        let mut datagram = which.get(&corpus).clone();
        for (at, byte) in wrong {
            let at = at.index(datagram.len().max(1));
            if let Some(place) = datagram.get_mut(at) {
                *place = byte;
            }
        }
        read(&datagram);
        reference::compare(&datagram);
    }
}
