//! Any annotation of a pod's author names printable networks, or none.
#![no_main]

use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use iface_core::Place;
use libfuzzer_sys::fuzz_target;
use netns_agent::interface::Interface;
use netns_agent::owner::kube::multus::{Network, network_of, parse};
use netns_agent::testing;

static ETH0: LazyLock<Interface> = LazyLock::new(|| {
    let mut eth0 = testing::interface(1, "eth0", Place::Host, UNIX_EPOCH);
    eth0.addresses = "10.244.0.5/24".parse().into_iter().collect();
    eth0
});

fuzz_target!(|annotation: &str| {
    let networks = parse(annotation);
    assert!(networks.len() <= 64);
    if let Network::Named(network) = network_of(&networks, &ETH0, |mac| usize::from(ETH0.mac == Some(mac))) {
        assert!(!network.is_empty() && network.bytes().all(|byte| byte.is_ascii_graphic()));
    }
});
