//! Interfaces for tests, few enough for random collisions.
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use crate::{Event, IfName, Interface, InterfaceId, MacAddr, Netns, NetnsId, NetnsName, NsFile, OperState, Place};

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr::from([0x0a, 0x58, 0, 0, 0, last])
}

pub(crate) fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

/// A namespace by number; 0 is the host's.
pub(crate) fn netns(number: u8) -> Arc<Netns> {
    let place = match number {
        0 => Place::Host,
        3 => Place::Nsid(3),
        n => Place::Named(NetnsName::new([b'a' + n])),
    };
    let inode = u64::from(number) + 1;
    let netns = Netns::new(NetnsId(u64::from(number)), place).with_file(NsFile { dev: 4, inode });
    Arc::new(netns.with_cookie(NonZeroU64::new(inode)))
}

pub(crate) fn interface(id: u64, in_netns: u8, ifindex: u32, named: &str, its_mac: Option<u8>) -> Interface {
    Interface {
        id: InterfaceId(NonZeroU64::new(id).unwrap()),
        netns: netns(in_netns),
        ifindex,
        name: name(named),
        mac: its_mac.map(mac),
        kind: None,
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1500,
        addresses: Box::default(),
        peer: None,
        master: None,
        extras: None,
        owner: None,
        since: SystemTime::UNIX_EPOCH,
    }
}

/// A change of a property of an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Mac(Option<u8>),
    Mtu(u32),
    Up(bool),
    Address(Option<u8>),
}

/// A step of a history: the slot's interface comes, changes or goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Toggle { slot: usize, in_netns: u8, name: u8, mac: Option<u8> },
    Change { slot: usize, change: Change },
}

pub(crate) const SLOTS: usize = 10;

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mac = || proptest::option::of(0..3u8);
    let change = prop_oneof![
        mac().prop_map(Change::Mac),
        (0..2u32).prop_map(Change::Mtu),
        any::<bool>().prop_map(Change::Up),
        proptest::option::of(0..2u8).prop_map(Change::Address),
    ];
    let toggle = (0..SLOTS, 0..3u8, 0..3u8, mac());
    let toggle = toggle.prop_map(|(slot, in_netns, name, mac)| Step::Toggle { slot, in_netns, name, mac });
    let change = (0..SLOTS, change).prop_map(|(slot, change)| Step::Change { slot, change });
    proptest::collection::vec(prop_oneof![2 => toggle, 3 => change], 0..120)
}

/// The events of a correct informer for these steps.
pub(crate) fn history(steps: &[Step]) -> Vec<Event> {
    let mut slots: [Option<Arc<Interface>>; SLOTS] = Default::default();
    let mut ids = 1..;
    let mut happen = |step: &Step| match *step {
        Step::Toggle { slot, in_netns, name, mac } => {
            let now = match slots[slot] {
                Some(_) => None,
                None => {
                    let (id, name) = (ids.next()?, ["eth0", "eth1", "net1"][usize::from(name)]);
                    Some(Arc::new(interface(id, in_netns, slot as u32 / 3, name, mac)))
                }
            };
            let before = std::mem::replace(&mut slots[slot], now.clone());
            Event::between(before.as_ref(), now.as_ref())
        }
        Step::Change { slot, change } => {
            let before = slots[slot].clone()?;
            let now = Arc::new(changed(&before, change));
            slots[slot] = Some(now.clone());
            Event::between(Some(&before), Some(&now))
        }
    };
    steps.iter().filter_map(&mut happen).collect()
}

fn changed(before: &Interface, change: Change) -> Interface {
    let mut now = before.clone();
    match change {
        Change::Mac(its_mac) => now.mac = its_mac.map(mac),
        Change::Mtu(mtu) => now.mtu = 1500 + mtu,
        Change::Up(up) => now.oper_state = if up { OperState::Up } else { OperState::Down },
        Change::Address(None) => now.addresses = Box::default(),
        Change::Address(Some(n)) => {
            now.addresses = Box::new([IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, n, 0, 1), 16))]);
        }
    }
    now
}
