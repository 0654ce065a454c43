//! What the fuzzer starts from, in every run of the tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use netns_scan::netlink::message::{Body, parse};
use proptest::prelude::*;

/// Datagrams captured from a kernel, and what the fuzzer made of them.
fn corpus() -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/netlink_message");
    let files = fs::read_dir(path).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let corpus: Vec<_> = files.collect();
    assert!(corpus.len() > 20, "the corpus is in {path}");
    corpus
}

/// Reads all of it; how many links it describes.
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
fn the_corpus_is_read_and_describes_links() {
    let links: usize = corpus().iter().map(|datagram| read(datagram)).sum();
    assert!(links > 20, "only {links}");
}

#[test]
fn a_datagram_cut_off_anywhere_is_no_panic() {
    for datagram in corpus() {
        for len in 0..datagram.len() {
            read(&datagram[..len]);
        }
    }
}

proptest! {
    #[test]
    fn a_datagram_with_wrong_bytes_is_no_panic(
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
    }
}
