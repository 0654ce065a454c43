//! The JSON contract: how interfaces and events look to programs outside.
//!
//! Fields may be added, never renamed, removed or given another meaning.

use std::fmt::Display;
use std::time::SystemTime;

use crate::interface::{End, Event, Interface, Owner};
use iface_core::{IfName, MacAddr, Netns, NetnsName, Peer, Place};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// An interface as `list -o json`, `watch -o json` and `/v1/interfaces` show it.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView<'a> {
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
    pod: Option<PodView<'a>>,
    network: Option<&'a str>,
    since: String,
}

/// A namespace; the host's has no name.
#[derive(Clone, Debug, Serialize)]
struct NetnsView<'a> {
    name: Option<Text<&'a NetnsName>>,
    dev: u64,
    inode: u64,
    host: bool,
}

/// The other end of a veth; `netns` is a namespace's name or `host`.
#[derive(Clone, Debug, Serialize)]
struct PeerView<'a> {
    netns: Text<&'a Place>,
    ifindex: u32,
    name: Text<IfName>,
}

/// The pod an interface belongs to; `end` is `host` for the end of its link outside.
#[derive(Clone, Debug, Serialize)]
struct PodView<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
    source: &'static str,
    end: &'static str,
    workload: Option<WorkloadView<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct WorkloadView<'a> {
    kind: &'static str,
    name: &'a str,
}

/// An event as `watch -o json` shows it, one object a line.
#[derive(Clone, Debug, Serialize)]
pub struct EventView<'a> {
    event: &'static str,
    #[serde(flatten)]
    about: Option<AboutView<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct AboutView<'a> {
    time: String,
    changed: Vec<&'static str>,
    interface: InterfaceView<'a>,
}

impl<'a> EventView<'a> {
    /// The event, seen at `time`; `Synced` is about nothing and carries no time.
    #[must_use]
    pub fn new(event: &'a Event, time: SystemTime) -> Self {
        let changed = match event {
            Event::Updated(_, changes) => changes.names().collect(),
            Event::Added(_) | Event::Deleted(_) | Event::Synced => Vec::new(),
        };
        let about = event.interface().map(|interface| AboutView {
            time: rfc3339(time),
            changed,
            interface: InterfaceView::from(&**interface),
        });
        Self { event: event.kind().as_str(), about }
    }
}

impl<'a> From<&'a Interface> for InterfaceView<'a> {
    fn from(interface: &'a Interface) -> Self {
        let owner = interface.owner.as_deref();
        Self {
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
            pod: owner.map(PodView::from),
            network: owner.and_then(|owner| owner.network.as_deref()),
            since: rfc3339(interface.since),
        }
    }
}

impl<'a> From<&'a Netns> for NetnsView<'a> {
    fn from(netns: &'a Netns) -> Self {
        Self { name: netns.name().map(Text), dev: netns.id.dev, inode: netns.id.inode, host: netns.is_host() }
    }
}

impl<'a> From<&'a Peer> for PeerView<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self { netns: Text(&peer.netns.place), ifindex: peer.ifindex, name: Text(peer.name) }
    }
}

impl<'a> From<&'a Owner> for PodView<'a> {
    fn from(owner: &'a Owner) -> Self {
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
            workload: pod
                .workload
                .as_ref()
                .map(|workload| WorkloadView { kind: workload.kind.as_str(), name: &workload.name }),
        }
    }
}

/// RFC 3339 in UTC with nanoseconds; a time outside its years is held at the nearer end.
fn rfc3339(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    format!("{time:.9}")
}

/// Something written as its display text.
#[derive(Clone, Copy, Debug)]
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::interface::{Pod, Source, Workload, WorkloadKind};
    use iface_core::{Changes, InterfaceId, Kind, NetnsId, OperState};
    use serde_json::{Value, json};

    use super::*;

    fn netns(place: Place, inode: u64) -> Arc<Netns> {
        Arc::new(Netns { id: NetnsId { dev: 4, inode, generation: 0 }, place })
    }

    pub(crate) fn bare() -> Interface {
        Interface {
            id: InterfaceId(NonZeroU64::MIN),
            netns: netns(Place::Host, 4_026_531_833),
            ifindex: 3,
            name: IfName::new("tun0").unwrap(),
            mac: None,
            kind: None,
            oper_state: OperState::Unknown,
            admin_up: false,
            mtu: 1500,
            addresses: Box::default(),
            peer: None,
            owner: None,
            since: SystemTime::UNIX_EPOCH,
        }
    }

    pub(crate) fn of_a_pod() -> Interface {
        let place = Place::Named(NetnsName::new("cni-1b2c"));
        let pod = Pod {
            namespace: "default".into(),
            name: "web-0".into(),
            uid: Some("6f".into()),
            workload: Some(Workload { kind: WorkloadKind::StatefulSet, name: "web".into() }),
            attributes: Vec::new(),
        };
        Interface {
            netns: netns(place, 4_026_532_461),
            ifindex: 2,
            name: IfName::new("eth0").unwrap(),
            mac: Some(MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, 5])),
            kind: Some(Kind::new("veth")),
            oper_state: OperState::Up,
            admin_up: true,
            addresses: ["10.244.0.5/24".parse().unwrap()].into(),
            peer: Some(Box::new(Peer {
                netns: Arc::new(Netns {
                    id: NetnsId { dev: 4, inode: 4_026_531_833, generation: 0 },
                    place: Place::Host,
                }),
                ifindex: 9,
                name: IfName::new("veth3f").unwrap(),
            })),
            owner: Some(Arc::new(Owner {
                pod: Arc::new(pod),
                source: Source::CniCache,
                network: Some("cbr0".into()),
                end: End::Pod,
            })),
            ..bare()
        }
    }

    fn shown(view: impl Serialize) -> Value {
        serde_json::to_value(view).unwrap()
    }

    #[test]
    fn an_interface_of_a_pod_has_the_contract_s_fields() {
        assert_eq!(
            shown(InterfaceView::from(&of_a_pod())),
            json!({
                "netns": {"name": "cni-1b2c", "dev": 4, "inode": 4_026_532_461_u64, "host": false},
                "ifindex": 2, "name": "eth0", "mac": "0a:58:0a:f4:00:05", "kind": "veth",
                "oper_state": "up", "admin_up": true, "mtu": 1500,
                "addresses": ["10.244.0.5/24"],
                "peer": {"netns": "host", "ifindex": 9, "name": "veth3f"},
                "pod": {"namespace": "default", "name": "web-0", "uid": "6f", "source": "cni-cache", "end": "pod",
                        "workload": {"kind": "StatefulSet", "name": "web"}},
                "network": "cbr0",
                "since": "1970-01-01T00:00:00.000000000Z",
            })
        );
    }

    #[test]
    fn what_there_is_none_of_is_null() {
        let view = shown(InterfaceView::from(&bare()));
        for field in ["mac", "kind", "peer", "pod", "network"] {
            assert_eq!(view.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(view["netns"], json!({"name": null, "dev": 4, "inode": 4_026_531_833_u64, "host": true}));
        assert_eq!(view["addresses"], json!([]));
    }

    #[test]
    fn an_update_says_when_and_what_changed() {
        let event = Event::Updated(Arc::new(bare()), Changes::MAC.union(Changes::MTU));
        let view = shown(EventView::new(&event, SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_001)));
        assert_eq!(view["event"], "Updated");
        assert_eq!(view["time"], "1970-01-01T00:00:01.500000001Z");
        assert_eq!(view["changed"], json!(["mac", "mtu"]));
        assert_eq!(view["interface"]["name"], "tun0");
    }

    #[test]
    fn synced_is_the_event_s_name_alone() {
        assert_eq!(shown(EventView::new(&Event::Synced, SystemTime::now())), json!({"event": "Synced"}));
    }

    #[test]
    fn a_name_that_is_no_text_is_escaped() {
        let interface = Interface { name: IfName::new(b"eth\xff\"").unwrap(), ..bare() };
        assert_eq!(shown(InterfaceView::from(&interface))["name"], "eth\\xff\"");
    }
}
