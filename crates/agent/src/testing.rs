//! Made-up interfaces for tests and benches of what comes after the kernel.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::interface::{End, Interface, Owner, Pod, Source};
use iface_core::{Counters, Direction, IfName, InterfaceId, Kind, Netns, NetnsId, NetnsName, OperState, Place};
use netns_scan::Reading;

/// So many seconds after 1970.
#[must_use]
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The id with this number; 0 counts as 1.
#[must_use]
pub fn id(number: u64) -> InterfaceId {
    InterfaceId(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
}

/// An interface `name` in the namespace `place`, its ifindex the id.
#[must_use]
pub fn interface(number: u64, name: impl AsRef<[u8]>, place: Place, since: SystemTime) -> Interface {
    let inode = match &place {
        Place::Host => 1,
        Place::Named(name) => {
            name.as_bytes().iter().fold(7, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(*byte))
        }
    };
    Interface {
        id: id(number),
        netns: Arc::new(Netns { id: NetnsId { dev: 4, inode, generation: 1 }, place, cookie: None }),
        ifindex: u32::try_from(number).unwrap_or(u32::MAX),
        name: IfName::new(name).unwrap_or_default(),
        mac: "0a:58:0a:f4:00:05".parse().ok(),
        kind: Some(Kind::new("veth")),
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1500,
        addresses: Box::default(),
        peer: None,
        owner: None,
        since,
    }
}

/// The host's interface `eth0`.
#[must_use]
pub fn eth0(number: u64, since: SystemTime) -> Arc<Interface> {
    Arc::new(interface(number, "eth0", Place::Host, since))
}

/// A pod with this name in the namespace `default`.
#[must_use]
pub fn pod(name: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "default".into(),
        name: name.into(),
        uid: Some(format!("uid-{name}")),
        workload: None,
        attributes: Vec::new(),
    })
}

/// An interface of a pod, in a namespace named after it.
#[must_use]
pub fn pod_interface(number: u64, name: impl AsRef<[u8]>, pod: &Arc<Pod>, since: SystemTime) -> Arc<Interface> {
    let place = Place::Named(NetnsName::new(format!("cni-{}", pod.name)));
    let owner = Owner { pod: pod.clone(), source: Source::CniCache, network: Some("cbr0".into()), end: End::Pod };
    Arc::new(Interface { owner: Some(Arc::new(owner)), ..interface(number, name, place, since) })
}

/// Counters told apart by `bytes`.
#[must_use]
pub fn reading(number: u64, bytes: u64) -> Reading {
    let direction = |bytes| Direction { bytes, packets: bytes / 10, errors: 0, dropped: 0 };
    let counters = Counters { receive: direction(bytes), transmit: direction(bytes / 2), carrier_changes: 1 };
    Reading { id: id(number), counters }
}
