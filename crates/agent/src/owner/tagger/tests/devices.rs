//! Devices of ResourceClaims behind the interfaces of pods.

use super::*;
use crate::interface::Device;
use crate::owner::claim::{ClaimChange, ClaimRecord, DeviceStatus};

fn status(name: &str, interface: &str, mac: Option<u8>) -> DeviceStatus {
    let (claim, driver, pool) = ("nic".into(), "dra.net".into(), "node-1".to_owned());
    DeviceStatus {
        device: Arc::new(Device { claim, driver, pool, name: name.to_owned() }),
        interface: IfName::new(interface).filter(|name| !name.as_bytes().is_empty()),
        mac: mac.map(|mac| [2, 0, 0, 0, 0, mac].into()),
        addresses: Box::default(),
    }
}

fn claim(pod: &str, devices: impl Into<Box<[DeviceStatus]>>) -> ClaimRecord {
    ClaimRecord { uid: "c1".into(), pods: [pod.into()].into(), devices: devices.into() }
}

fn claimed(record: ClaimRecord) -> Input {
    Input::Claim(ClaimChange::Applied(record))
}

fn device(reader: &Reader, interface: &Interface) -> Option<String> {
    Some(reader.0[&interface.id].owner.as_ref()?.device()?.to_string())
}

/// The pod of a CNI result or of an address, whatever comes last.
#[test]
fn device_joins_its_interface() {
    let a = netns(1, "cni-a");
    let (eth0, moved) = (interface(1, &a, "eth0", 7, "10.0.0.1/24"), interface(2, &a, "net1", 8, ""));
    let claim = claimed(claim("u1", [status("gpu0rdma0", "net1", Some(8))]));
    let by_file = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    for owner in [by_file, applied(record("web", "u1", "10.0.0.1"))] {
        for inputs in permutations(&[added(&eth0), added(&moved), owner.clone(), claim.clone()]) {
            let (_, reader) = after([synced()].into_iter().chain(inputs));
            assert_eq!(device(&reader, &moved).as_deref(), Some("dra.net/node-1/gpu0rdma0"));
            assert_eq!(reader.network(&moved).as_deref(), Some("dra.net"));
            assert_eq!(device(&reader, &eth0), None);
            assert_ne!(reader.network(&eth0).as_deref(), Some("dra.net"));
        }
    }
}

/// A claim names no owner, and no interface of a pod for which the claim is not reserved.
#[test]
fn claim_owns_nothing() {
    let (a, b) = (netns(1, "cni-a"), netns(2, "cni-b"));
    let (owned, unknown) = (interface(1, &a, "net1", 7, ""), interface(2, &b, "net1", 8, ""));
    let proof = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let claim = claimed(claim("u2", [status("d1", "net1", Some(7)), status("d2", "net1", Some(8))]));
    let (tagger, reader) = after([added(&owned), added(&unknown), proof, claim, synced()]);
    assert_eq!((device(&reader, &owned), reader.owner(&unknown)), (None, None));
    assert_eq!(tagger.conflicts().total(), 0);
}

/// The address decides before the name, and the network of a CNI result before the driver.
#[test]
fn device_follows_mac_before_name() {
    let a = netns(1, "cni-a");
    let (eth0, renamed) = (interface(1, &a, "eth0", 7, ""), interface(2, &a, "wan0", 8, ""));
    let named = interface(3, &a, "net1", 9, "");
    let proof = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let devices = [status("d1", "net1", Some(8)), status("d2", "eth0", Some(7))];
    let claim = claimed(claim("u1", devices));
    for inputs in permutations(&[added(&eth0), added(&renamed), added(&named), claim]) {
        let (_, reader) = after([synced(), proof.clone()].into_iter().chain(inputs));
        assert_eq!(device(&reader, &renamed).as_deref(), Some("dra.net/node-1/d1"));
        assert_eq!(device(&reader, &named), None);
        assert_eq!(device(&reader, &eth0).as_deref(), Some("dra.net/node-1/d2"));
        assert_eq!(reader.network(&eth0).as_deref(), Some("podnet"));
    }
}

/// Two devices for one interface name neither.
#[test]
fn two_devices_name_neither() {
    let eth0 = interface(1, &netns(1, "cni-a"), "eth0", 7, "");
    let proof = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, "podnet"));
    let both = claimed(claim("u1", [status("d1", "", Some(7)), status("d2", "", Some(7))]));
    let (_, reader) = after([added(&eth0), proof, both, synced()]);
    assert_eq!(device(&reader, &eth0), None);
}

/// A deleted claim leaves the device, as the pod's interface ends later; a claim in use can move the device.
#[test]
fn device_outlives_its_claim() {
    let a = netns(1, "cni-a");
    let (eth0, other) = (interface(1, &a, "net1", 7, ""), interface(2, &a, "net2", 8, ""));
    let proof = Input::File("f", file("cni-a", &pod("web", Some("u1")), 7, ""));
    let proof = match proof {
        Input::File(path, attachment) => Input::File(path, Attachment { network: None, ..attachment }),
        other => other,
    };
    let begin = [added(&eth0), added(&other), proof, claimed(claim("u1", [status("d1", "net1", Some(7))])), synced()];
    let (mut tagger, mut reader) = after(begin);
    let mut then = |change| {
        give(&mut tagger, Input::Claim(change));
        reader.read(&mut tagger);
        let of = |one| (device(&reader, one), reader.network(one));
        (of(&eth0), of(&other))
    };
    let named = || (Some("dra.net/node-1/d1".to_owned()), Some("dra.net".to_owned()));
    assert_eq!(then(ClaimChange::Deleted("c1".into())), (named(), (None, None)));
    assert_eq!(then(ClaimChange::Listed(Vec::new())), (named(), (None, None)));
    let moved = claim("u1", [status("d1", "net2", Some(8))]);
    assert_eq!(then(ClaimChange::Listed(vec![moved])), ((None, None), named()));
}
