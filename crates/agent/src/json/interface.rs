//! An interface with its namespace, peer and pod.

use std::net::IpAddr;
use std::num::NonZeroU64;

use iface_core::{IfName, Lower, LowerPlace, MacAddr, Netns, NetnsName, Parent, Peer, Place, Underlay};
use ipnet::IpNet;
use serde::Serialize;

use super::text::{Text, rfc3339};
use crate::interface::{ContainerOwner, Device, End, Interface, Owner, PodOwner};

/// An interface as `list -o json`, `watch -o json` and `/v1/interfaces` show it.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView<'a> {
    id: u64,
    netns: NetnsView<'a>,
    ifindex: u32,
    name: Text<IfName>,
    mac: Option<Text<MacAddr>>,
    kind: Option<&'a str>,
    oper_state: &'static str,
    admin_up: bool,
    mtu: u32,
    addresses: Vec<Text<IpNet>>,
    peer: Option<PeerView<'a>>,
    master: Option<u32>,
    lower: Option<LowerView<'a>>,
    alias: Option<&'a str>,
    alt_names: Vec<&'a str>,
    underlay: Option<UnderlayView>,
    parent: Option<ParentView<'a>>,
    pod: Option<PodView<'a>>,
    container: Option<ContainerView<'a>>,
    network: Option<&'a str>,
    device: Option<DeviceView<'a>>,
    since: String,
}

/// A namespace; the host's and a namespace without a file have no name.
#[derive(Clone, Debug, Serialize)]
struct NetnsView<'a> {
    name: Option<Text<&'a NetnsName>>,
    place: Text<&'a Place>,
    dev: Option<u64>,
    inode: Option<u64>,
    cookie: Option<u64>,
    generation: u64,
    host: bool,
}

/// The peer of a veth; `netns` is a namespace's name or `host`.
#[derive(Clone, Debug, Serialize)]
struct PeerView<'a> {
    netns: Text<&'a Place>,
    ifindex: u32,
    name: Text<IfName>,
}

/// The interface below; `netns` is a namespace's name or `host`, and `None` for a third namespace.
#[derive(Clone, Debug, Serialize)]
struct LowerView<'a> {
    netns: Option<Text<&'a Place>>,
    ifindex: u32,
}

/// The ends of a tunnel in the network below; `None` for any address.
#[derive(Clone, Debug, Serialize)]
struct UnderlayView {
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
}

/// The hardware behind an interface.
#[derive(Clone, Debug, Serialize)]
struct ParentView<'a> {
    bus: &'a str,
    device: &'a str,
    physical_function: Option<&'a str>,
}

/// The pod that owns an interface; `end` is `host` for the peer outside of the pod's namespace.
#[derive(Clone, Debug, Serialize)]
struct PodView<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
    source: &'static str,
    end: &'static str,
    leaked: bool,
    workload: Option<WorkloadView<'a>>,
}

/// The container outside Kubernetes that owns an interface; `end` is `host` for the peer outside of the namespace.
#[derive(Clone, Debug, Serialize)]
struct ContainerView<'a> {
    runtime: &'static str,
    name: &'a str,
    ids: &'a [String],
    image: Option<&'a str>,
    end: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct WorkloadView<'a> {
    kind: &'static str,
    name: &'a str,
}

/// The device of Dynamic Resource Allocation behind an interface.
#[derive(Clone, Debug, Serialize)]
struct DeviceView<'a> {
    claim: &'a str,
    driver: &'a str,
    pool: &'a str,
    name: &'a str,
}

impl<'a> From<&'a Interface> for InterfaceView<'a> {
    fn from(interface: &'a Interface) -> Self {
        let owner = interface.owner.as_deref();
        Self {
            id: interface.id.0.get(),
            netns: NetnsView::from(&*interface.netns),
            ifindex: interface.ifindex,
            name: Text(interface.name),
            mac: interface.mac.map(Text),
            kind: interface.kind.as_ref().map(|kind| kind.as_str()),
            oper_state: interface.oper_state.as_str(),
            admin_up: interface.admin_up,
            mtu: interface.mtu,
            addresses: interface.addresses.iter().copied().map(Text).collect(),
            peer: interface.peer.as_deref().map(PeerView::from),
            master: interface.master,
            lower: interface.lower().map(|lower| LowerView::new(interface, lower)),
            alias: interface.alias(),
            alt_names: interface.alt_names().collect(),
            underlay: interface.underlay().map(|Underlay { local, remote, .. }| UnderlayView { local, remote }),
            parent: interface.parent().map(ParentView::from),
            pod: match owner {
                Some(Owner::Pod(owner)) => Some(owner.into()),
                _ => None,
            },
            container: match owner {
                Some(Owner::Container(owner)) => Some(owner.into()),
                _ => None,
            },
            network: owner.and_then(|owner| owner.network()).map(|name| &**name),
            device: owner.and_then(|owner| owner.device()).map(|device| DeviceView::from(&**device)),
            since: rfc3339(interface.since),
        }
    }
}

impl<'a> From<&'a Netns> for NetnsView<'a> {
    fn from(netns: &'a Netns) -> Self {
        Self {
            name: netns.name().map(Text),
            place: Text(&netns.place),
            dev: netns.file.map(|file| file.dev),
            inode: netns.inode(),
            cookie: netns.cookie.map(NonZeroU64::get),
            generation: netns.id.0,
            host: netns.is_host(),
        }
    }
}

impl<'a> From<&'a Peer> for PeerView<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self { netns: Text(&peer.netns.place), ifindex: peer.ifindex, name: Text(peer.name) }
    }
}

impl<'a> From<&'a Parent> for ParentView<'a> {
    fn from(parent: &'a Parent) -> Self {
        Self { bus: &parent.bus, device: &parent.device, physical_function: parent.physical_function.as_deref() }
    }
}

impl<'a> LowerView<'a> {
    fn new(upper: &'a Interface, lower: Lower) -> Self {
        let netns = match lower.place {
            LowerPlace::Same => Some(&upper.netns.place),
            LowerPlace::Host => Some(&Place::Host),
            LowerPlace::Elsewhere => None,
        };
        Self { netns: netns.map(Text), ifindex: lower.ifindex }
    }
}

impl<'a> From<&'a PodOwner> for PodView<'a> {
    fn from(owner: &'a PodOwner) -> Self {
        let pod = &*owner.pod;
        Self {
            namespace: &pod.namespace,
            name: &pod.name,
            uid: pod.uid.as_deref(),
            source: owner.source.as_str(),
            end: match owner.end {
                End::Pod => "pod",
                End::Host => "host",
            },
            leaked: owner.leaked,
            workload: pod
                .workload
                .as_ref()
                .map(|workload| WorkloadView { kind: workload.kind.as_str(), name: &workload.name }),
        }
    }
}

impl<'a> From<&'a Device> for DeviceView<'a> {
    fn from(device: &'a Device) -> Self {
        let Device { claim, driver, pool, name } = device;
        Self { claim, driver, pool, name }
    }
}

impl<'a> From<&'a ContainerOwner> for ContainerView<'a> {
    fn from(owner: &'a ContainerOwner) -> Self {
        let container = &*owner.container;
        Self {
            runtime: container.runtime.as_str(),
            name: &container.name,
            ids: &container.ids,
            image: container.image.as_deref(),
            end: match owner.end {
                End::Pod => "container",
                End::Host => "host",
            },
        }
    }
}
