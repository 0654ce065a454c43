//! `docs/api.md`: one table of fields per object, with an example.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use iface_core::{Changes, Confidence, Counters, Direction, FinalCounters};
use netns_scan::Reading;
use serde::Serialize;

use super::{CountersView, EventView, FaultView, InterfaceView, LineView, LookupView, NodeView};
use crate::feed::Line;
use crate::interface::{Event, Interface};
use crate::lookup::Answer;

const INTRODUCTION: &str = include_str!("document/introduction.md");
const WATCH: &str = include_str!("document/watch.md");
const CLIENT: &str = include_str!("document/client.py");
const GO_CLIENT: &str = include_str!("document/client.go");
const REQUESTS: &str = include_str!("document/requests.md");

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its path from the object, with dots.
    pub path: &'static str,
    /// Its JSON type.
    pub kind: &'static str,
    /// Its meaning and its unit.
    pub meaning: &'static str,
}

const fn field(path: &'static str, kind: &'static str, meaning: &'static str) -> Field {
    Field { path, kind, meaning }
}

/// The fields of an interface.
pub const INTERFACE: &[Field] = &[
    field("id", "number", "identifies the interface from its addition to its deletion; unique in one run of the agent"),
    field("netns", "object", "the network namespace"),
    field(
        "netns.name",
        "string or null",
        "file name below the directory of `--netns-dir`, or the whole path where the file name is `host` or means another namespace in an earlier directory; `null` for the host's and for a namespace without a name",
    ),
    field(
        "netns.place",
        "string",
        "the namespace as all outputs print it: its name, `host`, or without a name `net:[4026532461]` with its inode, or `nsid:7` with its nsid; the kernel reuses both numbers",
    ),
    field("netns.dev", "number or null", "device of the namespace's nsfs inode; `null` where only the nsid is known"),
    field(
        "netns.inode",
        "number or null",
        "the namespace's nsfs inode; the kernel reuses inodes of deleted namespaces; `null` where only the nsid is known",
    ),
    field(
        "netns.cookie",
        "number or null",
        "the namespace's `SO_NETNS_COOKIE`, as `bpf_get_netns_cookie` returns it; never reused; `null` before Linux 6.18",
    ),
    field(
        "netns.generation",
        "number",
        "identifies the namespace; never reused in one run of the agent; 0 is the host's",
    ),
    field("netns.host", "boolean", "whether the namespace is the host's"),
    field("ifindex", "number", "unique within the namespace at one time"),
    field("name", "string", "name of the interface"),
    field("mac", "string or null", "link-layer address"),
    field("kind", "string or null", "kind of the link, like `veth` or `bridge`; `null` for hardware and loopback"),
    field("oper_state", "string", "`up`, `down`, `unknown`, `dormant`, `lowerlayerdown`, `notpresent` or `testing`"),
    field("admin_up", "boolean", "whether the interface is set up (`IFF_UP`)"),
    field("mtu", "number", "bytes"),
    field("addresses", "array of strings", "IP addresses with prefix lengths"),
    field("peer", "object or null", "the peer of a veth pair"),
    field("peer.netns", "string", "name of the peer's network namespace, or `host`"),
    field("peer.ifindex", "number", "the peer's ifindex"),
    field("peer.name", "string", "the peer's name"),
    field(
        "master",
        "number or null",
        "ifindex of the bridge, bond or VRF in the same namespace that the interface belongs to",
    ),
    field("lower", "object or null", "the interface below a VLAN, macvlan, ipvlan or tunnel"),
    field(
        "lower.netns",
        "string or null",
        "name of the lower interface's network namespace, or `host`; `null` for a namespace that is neither the interface's own nor the host's",
    ),
    field("lower.ifindex", "number", "the lower interface's ifindex"),
    field(
        "alias",
        "string or null",
        "the alias (`ip link set alias`); the kernel announces a new alias only while the interface is set up",
    ),
    field("alt_names", "array of strings", "the first 16 alternative names; announced as the alias"),
    field(
        "underlay",
        "object or null",
        "the ends of a VXLAN, GENEVE, GRE, IPIP, SIT, IPv6 or VTI tunnel; the kernel announces a change only while the interface is set up",
    ),
    field("underlay.local", "string or null", "the own address; `null` for any"),
    field("underlay.remote", "string or null", "the address of the far end, or a multicast group; `null` for any"),
    field("parent", "object or null", "the hardware behind the interface; `null` before Linux 5.14"),
    field("parent.bus", "string", "name of the bus, like `pci`, `virtio` or `usb`"),
    field("parent.device", "string", "name of the device on the bus; on `pci` the address"),
    field(
        "parent.physical_function",
        "string or null",
        "PCI address of the physical function, if the device is a virtual one (SR-IOV) and `/sys` is mounted",
    ),
    field("pod", "object or null", "the pod that owns the interface"),
    field("pod.namespace", "string", "the pod's Kubernetes namespace"),
    field("pod.name", "string", "the pod's name"),
    field(
        "pod.uid",
        "string or null",
        "the pod's UID; `null` where the CNI result has none and the API server is not read",
    ),
    field("pod.source", "string", "the source of the owner: `cni-cache`, `runtime-record`, `pod-ip` or `process`"),
    field("pod.end", "string", "`pod` inside of the pod's namespace, `host` for the peer outside"),
    field(
        "pod.leaked",
        "boolean",
        "whether the namespace has outlived the pod: the API server has not known the pod for five minutes; in `list` and `lookup`, does not know the pod now",
    ),
    field("pod.workload", "object or null", "the controller of the pod"),
    field("pod.workload.kind", "string", "`Deployment`, `ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job` or `CronJob`"),
    field("pod.workload.name", "string", "the controller's name"),
    field("container", "object or null", "the container outside Kubernetes that owns the interface"),
    field("container.runtime", "string", "`docker`, `podman`, `systemd-nspawn`, `libvirt-lxc`, `lxc` or `nerdctl`"),
    field("container.name", "string", "the container's name"),
    field(
        "container.ids",
        "array of strings",
        "ids of all containers with a record about the namespace, the named container's first",
    ),
    field("container.image", "string or null", "name of the image, if recorded"),
    field("container.end", "string", "`container` inside of the namespace, `host` for the peer outside"),
    field(
        "network",
        "string or null",
        "the network of the interface: CNI's, or the container runtime's; of a device without a CNI network, the driver",
    ),
    field("device", "object or null", "the device of Dynamic Resource Allocation behind the interface"),
    field("device.claim", "string", "name of the ResourceClaim, in the Kubernetes namespace of the pod"),
    field("device.driver", "string", "name of the driver"),
    field("device.pool", "string", "the driver's pool of the device"),
    field("device.name", "string", "name of the device in the pool"),
    field("since", "string", "time of the addition, RFC 3339 in UTC"),
];

/// The fields of an event.
pub const EVENT: &[Field] = &[
    field("event", "string", "`Added`, `Updated`, `Deleted` or `Synced`"),
    field("time", "string", "time of the event, RFC 3339 in UTC; absent in `Synced`"),
    field("changed", "array of strings", "changed fields of an `Updated` event, else empty; absent in `Synced`"),
    field("interface", "object", "the interface after the event; absent in `Synced`"),
    field(
        "final",
        "object",
        "traffic from the addition to the deletion: `receive` and `transmit`, each with `bytes`, `packets`, `errors` and `dropped`; only in `Deleted`, where counters are known and the interface does not live on under another name",
    ),
];

/// The fields of a line of `/v1/watch`, beside those of an event.
pub const LINE: &[Field] = &[
    field(
        "seq",
        "number",
        "the client has everything up to this number after the line; numbers of a later run of the agent are greater",
    ),
    field("event", "string", "`Added`, `Updated`, `Deleted`, `Synced`, `Heartbeat` or `Restart`"),
    field("time", "string", "time of the event; absent in the last three, as are the following fields"),
    field("changed", "array of strings", "changed fields of an `Updated` event, else empty"),
    field("interface", "object", "the interface after the event"),
    field("final", "object", "as in the events above"),
];

/// The fields of a lookup.
pub const LOOKUP: &[Field] = &[
    field("confidence", "string", "`exact`, `preferred` (chosen by `--preferred-interface-for-mac-prefix`) or `guess`"),
    field("interface", "object", "the interface"),
];

/// The fields of an answer of `/v1/counters`.
pub const COUNTERS: &[Field] = &[
    field("time", "string", "time of the reading, RFC 3339 in UTC; readings are a second apart at least"),
    field("interfaces", "array of objects", "the interfaces whose counters could be read"),
    field("interfaces.id", "number", "the `id` of the interface"),
    field("interfaces.receive", "object", "received since the link was made, as the kernel counts"),
    field("interfaces.receive.bytes", "number", "bytes"),
    field("interfaces.receive.packets", "number", "packets"),
    field("interfaces.receive.errors", "number", "packets with an error"),
    field("interfaces.receive.dropped", "number", "dropped packets"),
    field("interfaces.transmit", "object", "sent, with the same four fields"),
    field("interfaces.transmit.bytes", "number", "bytes"),
    field("interfaces.transmit.packets", "number", "packets"),
    field("interfaces.transmit.errors", "number", "packets with an error"),
    field("interfaces.transmit.dropped", "number", "dropped packets"),
];

/// The fields of an answer of `/v1/node`.
pub const NODE: &[Field] = &[
    field("node", "string", "name of the node: `--node-name`, else the host name"),
    field("version", "string", "version of the agent"),
];

/// The fields of an error.
pub const FAULT: &[Field] = &[field("error", "string", "the reason and the remedy")];

/// The whole page, with this interface in all examples.
#[must_use]
pub fn markdown(interface: &Arc<Interface>) -> String {
    let time = SystemTime::UNIX_EPOCH;
    let event = Event::Updated(interface.clone(), Changes::MTU);
    let answer = Answer { interface: interface.clone(), confidence: Confidence::Exact };
    let mut page = INTRODUCTION.to_owned();
    object(&mut page, "Interface", "`list -o json` and `/v1/interfaces` answer an array of interfaces.", INTERFACE);
    example(&mut page, &[InterfaceView::from(&**interface)]);
    object(
        &mut page,
        "Event",
        "`watch -o json` prints one event per line. After `Synced`, all interfaces that existed at the start have been printed.",
        EVENT,
    );
    example(&mut page, &EventView::new(&event, time));
    example(&mut page, &EventView::new(&deleted(interface), time));
    example(&mut page, &EventView::new(&Event::Synced, time));
    object(&mut page, "Lookup", "`lookup -o json` and `/v1/lookup` answer one lookup.", LOOKUP);
    example(&mut page, &LookupView::from(&answer));
    object(&mut page, "Counters", "`/v1/counters` answers the counters of all interfaces at one time.", COUNTERS);
    example(&mut page, &CountersView::new(time, [Reading::new(interface.id, received())].iter()));
    object(&mut page, "Node", "`/v1/node` answers the name of the node.", NODE);
    example(&mut page, &NodeView { node: "worker-1", version: env!("CARGO_PKG_VERSION") });
    page.push_str(WATCH);
    table(&mut page, LINE);
    example(&mut page, &LineView::from(&Line { seq: 1_790_000_000_000_001, event, time, merged: 0 }));
    example(&mut page, &LineView::heartbeat(1_790_000_000_000_001));
    page.push_str("\nA client in Python, without packages; the argument is the path of `--admin-socket`:\n");
    // Writing to a String cannot fail.
    let _ = write!(page, "\n```python\n{CLIENT}```\n");
    page.push_str("\nThe same in Go, with the standard library alone:\n");
    let _ = write!(page, "\n```go\n{GO_CLIENT}```\n");
    page.push_str(REQUESTS);
    table(&mut page, FAULT);
    example(&mut page, &FaultView { error: "no interface has the ifindex 77" });
    page
}

/// The deletion of an interface that received 70 bytes in one packet.
#[must_use]
pub fn deleted(interface: &Arc<Interface>) -> Event {
    Event::Deleted(interface.clone(), Some(Arc::new(FinalCounters::new(received(), SystemTime::UNIX_EPOCH))))
}

fn received() -> Counters {
    Counters::new(Direction::new(70, 1), Direction::default())
}

fn object(page: &mut String, heading: &str, introduction: &str, fields: &[Field]) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\n## {heading}\n\n{introduction}");
    table(page, fields);
}

fn table(page: &mut String, fields: &[Field]) {
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for Field { path, kind, meaning } in fields {
        let _ = writeln!(page, "| `{path}` | {kind} | {meaning} |");
    }
}

fn example(page: &mut String, value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let _ = write!(page, "\n```json\n{text}\n```\n");
}
