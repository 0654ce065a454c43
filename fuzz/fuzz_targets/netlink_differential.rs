//! The message reader and the full parser of `netlink-packet-route` agree on any datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/netns-scan/tests/corpus/reference.rs"]
mod reference;

fuzz_target!(
    init: {
        // The hook of libfuzzer aborts at each panic, also where the full parser panics, which
        // `compare` catches. A difference still ends the process: its panic leaves the target.
        drop(std::panic::take_hook());
    },
    |datagram: &[u8]| {
        reference::compare(datagram);
    }
);
