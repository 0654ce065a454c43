//! The corpora of the fuzzers of CNI cache files, annotations and configuration, read in every run of the tests.
//!
//! Files called `broken-…` are to be refused, all others to be used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::UNIX_EPOCH;

use iface_core::{NetnsName, Place};
use netns_agent::config::{ConfigSources, Layer};
use netns_agent::interface::Interface;
use netns_agent::owner::{cni::result as cni_cache, kube::multus};
use netns_agent::testing;
use proptest::prelude::*;

/// The name of each file of a corpus with its content, sorted.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let paths = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect();
    files.sort();
    assert!(files.len() > 10, "the corpus is in {path}");
    files
}

fn is_broken(name: &str) -> bool {
    name.starts_with("broken-")
}

fn eth0() -> Interface {
    let mut eth0 = testing::interface(1, "eth0", Place::Named(NetnsName::new("cni-a")), UNIX_EPOCH);
    eth0.addresses = ["10.244.0.5/24".parse().unwrap()].into();
    eth0
}

/// The network an annotation names for [`eth0`].
fn network(annotation: &[u8]) -> Option<String> {
    let networks = multus::parse(str::from_utf8(annotation).ok()?);
    match multus::network_of(&networks, &eth0(), |mac| usize::from(eth0().mac == Some(mac))) {
        multus::Network::Named(network) => Some(network.to_string()),
        multus::Network::OfAnother | multus::Network::Unknown => None,
    }
}

fn fault(config: &[u8]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("netns-agent.yaml");
    fs::write(&file, config).unwrap();
    let faults = ConfigSources { flags: Layer::new(), file: Some(file) }.load(&|_| None).err()?;
    assert!(!faults.0.is_empty(), "faults without a line");
    Some(faults.to_string())
}

#[test]
fn cni_corpus_is_read() {
    for (name, content) in corpus("cni_result") {
        let read = cni_cache::parse(&content);
        assert_eq!(read.is_err(), is_broken(&name), "{name}: {read:?}");
    }
}

#[test]
fn files_of_a_pod_agree() {
    let files = corpus("cni_result");
    let of = |wanted: &str| {
        let (_, content) = files.iter().find(|(name, _)| name == wanted).unwrap();
        cni_cache::parse(content).unwrap()
    };
    let asked = of("multus-asked.json");
    assert_eq!(asked.network, None, "multus itself is no network");
    for (file, network, macs, addresses) in [
        ("calico-no-mac.json", "k8s-pod-network", 0, 1),
        ("multus-delegate-macvlan.json", "storage", 1, 1),
        ("multus-delegate-ipvlan.json", "fast", 1, 1),
        ("multus-delegate-sriov-infiniband.json", "fabric", 1, 0),
    ] {
        let one = of(file);
        assert_eq!((&one.pod, &one.netns), (&asked.pod, &asked.netns), "{file}");
        assert_eq!((one.network.as_deref(), one.macs.len(), one.addresses.len()), (Some(network), macs, addresses));
    }
    let crio = of("crio-eth0.json");
    assert_eq!(crio.netns, Some(NetnsName::new("0b6f8c1d-3e55-4a7f-b1c9-8d2e4f60a7b3")));
    assert_eq!(crio.pod.uid.as_deref(), Some("a81d77e0-0b7e-4a31-9c52-1d05512db0ff"));
    assert_eq!(of("containerd-2-dual-stack.json").addresses.len(), 2);
    assert_eq!(of("aws-vpc-cni.json").macs, [], "a dummy of the host's is not in the pod");
}

#[test]
fn annotation_corpus_is_read() {
    for (name, annotation) in corpus("network_status") {
        let network = network(&annotation);
        let entries = str::from_utf8(&annotation).map_or(0, |text| multus::parse(text).len());
        assert!(!is_broken(&name) || entries == 0, "{name} has {entries} entries");
        match name.as_str() {
            "default-without-interface.json" | "three.json" => assert_eq!(network.as_deref(), Some("cbr0")),
            "mac-only.json" => assert_eq!(network.as_deref(), Some("shop/storage")),
            "many.json" => assert_eq!((network, entries), (None, 64)),
            _ => assert_eq!(network, None, "{name}"),
        }
    }
}

#[test]
fn configuration_corpus_is_read() {
    for (name, config) in corpus("config") {
        let fault = fault(&config);
        assert_eq!(fault.is_some(), is_broken(&name), "{name}: {fault:?}");
    }
}

proptest! {
    #[test]
    fn files_with_wrong_bytes_are_no_panic(
        target in prop::sample::select(vec!["cni_result", "network_status", "config"]),
        which in any::<prop::sample::Index>(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let corpus = corpus(target);
        let (_, mut content) = which.get(&corpus).clone();
        for (at, byte) in wrong {
            let at = at.index(content.len().max(1));
            if let Some(place) = content.get_mut(at) {
                *place = byte;
            }
        }
        for content in [&content[..], &content[..end.index(content.len() + 1)]] {
            _ = cni_cache::parse(content);
            _ = network(content);
            _ = fault(content);
        }
    }
}
