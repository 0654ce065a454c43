//! Any datagram is split and read without a panic, and always to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netns_scan::netlink::message::{Body, parse};

fuzz_target!(|datagram: &[u8]| {
    let mut messages = 0;
    for message in parse(datagram) {
        messages += 1;
        if let Ok(message) = message
            && let Body::NewLink(link) = message.body
        {
            _ = link.link();
            _ = link.counters();
        }
    }
    // A header is 16 bytes long; what is malformed ends the datagram.
    assert!(messages <= datagram.len() / 16 + 1);
});
