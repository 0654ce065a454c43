//! `Poller` at the edges of its arguments.

use std::time::Duration;

use futures_executor::block_on_stream;
use iface_core::Event;
use netns_scan::{Poller, WatchOptions};

/// The first listing happens at once; the next one is never due.
#[test]
fn the_longest_period_never_passes() {
    let options = WatchOptions { dirs: Vec::new(), ..WatchOptions::default() };
    let poller = Poller::start(options, Duration::MAX).unwrap();
    assert!(block_on_stream(poller).any(|event| event == Event::Synced));
}
