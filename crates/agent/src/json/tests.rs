//! Sample interfaces and their JSON.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use iface_core::{
    Changes, Confidence, Extras, IfName, InterfaceId, Kind, Lower, LowerPlace, MacAddr, Netns, NetnsId, NetnsName,
    NsFile, OperState, Peer, Place,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::document::{COUNTERS, EVENT, FAULT, Field, INTERFACE, LINE, LOOKUP, NODE, deleted, markdown};
use super::*;
use crate::feed::Line;
use crate::interface::{Device, End, Event, Interface, Owner, Pod, PodOwner, Source, Workload, WorkloadKind};
use crate::lookup::Answer;

fn netns(place: Place, inode: u64) -> Arc<Netns> {
    Arc::new(Netns::new(NetnsId(0), place).with_file(NsFile { dev: 4, inode }).with_cookie(NonZeroU64::new(5)))
}

pub(crate) fn bare() -> Interface {
    let host = netns(Place::Host, 4_026_531_833);
    let mut interface = Interface::new(InterfaceId(NonZeroU64::MIN), host, 3, IfName::new("tun0").unwrap());
    interface.mtu = 1500;
    interface.since = SystemTime::UNIX_EPOCH;
    interface
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
    let owner = PodOwner {
        pod: Arc::new(pod),
        source: Source::CniCache,
        network: Some("cbr0".into()),
        device: None,
        leaked: false,
        end: End::Pod,
    };
    let owner = Owner::Pod(owner);
    let mut interface = bare();
    interface.netns = netns(place, 4_026_532_461);
    interface.ifindex = 2;
    interface.name = IfName::new("eth0").unwrap();
    interface.mac = Some(MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, 5]));
    interface.kind = Some(Kind::new("veth"));
    interface.oper_state = OperState::Up;
    interface.admin_up = true;
    interface.addresses = ["10.244.0.5/24".parse().unwrap()].into();
    interface.peer = Some(Peer::new(bare().netns, 9, IfName::new("veth3f").unwrap()).into());
    interface.owner = Some(Arc::new(owner));
    interface
}

fn shown(view: impl Serialize) -> Value {
    serde_json::to_value(view).unwrap()
}

#[test]
fn interface_of_a_pod_has_all_fields() {
    assert_eq!(
        shown(InterfaceView::from(&of_a_pod())),
        json!({
            "id": 1,
            "netns": {"name": "cni-1b2c", "place": "cni-1b2c", "dev": 4, "inode": 4_026_532_461_u64, "cookie": 5, "generation": 0, "host": false},
            "ifindex": 2, "name": "eth0", "mac": "0a:58:0a:f4:00:05", "kind": "veth",
            "oper_state": "up", "admin_up": true, "mtu": 1500,
            "addresses": ["10.244.0.5/24"],
            "peer": {"netns": "host", "ifindex": 9, "name": "veth3f"},
            "master": null, "lower": null, "alias": null, "alt_names": [],
            "underlay": null, "parent": null,
            "pod": {"namespace": "default", "name": "web-0", "uid": "6f", "source": "cni-cache", "end": "pod", "leaked": false,
                    "workload": {"kind": "StatefulSet", "name": "web"}},
            "container": null,
            "network": "cbr0",
            "device": null,
            "since": "1970-01-01T00:00:00.000000000Z",
        })
    );
}

/// An interface of a driver for Dynamic Resource Allocation.
fn with_device() -> Interface {
    let mut interface = of_a_pod();
    let Some(Owner::Pod(owner)) = interface.owner.as_deref().cloned() else { unreachable!("a pod's") };
    let device =
        Device { claim: "nic".into(), driver: "dra.net".into(), pool: "node-1".into(), name: "gpu0rdma0".into() };
    interface.owner = Some(Arc::new(Owner::Pod(PodOwner { device: Some(device.into()), ..owner })));
    interface
}

/// In JSON, and on the info metric but on no other.
#[test]
fn device_has_all_fields() {
    let interface = with_device();
    let device = json!({"claim": "nic", "driver": "dra.net", "pool": "node-1", "name": "gpu0rdma0"});
    assert_eq!(shown(InterfaceView::from(&interface))["device"], device);
    let attributes = crate::metrics::points::Attributes::default();
    let info: Vec<_> = attributes.of_info(&interface).collect();
    for (key, value) in [
        ("k8s.resourceclaim.name", "nic"),
        ("k8s.resource.driver", "dra.net"),
        ("k8s.resource.pool", "node-1"),
        ("k8s.resource.device", "gpu0rdma0"),
    ] {
        assert!(info.contains(&(key, value.to_owned())), "{info:?}");
        assert!(attributes.of(&interface).all(|(other, _)| other != key));
    }
}

#[test]
fn container_has_all_fields() {
    let web = crate::testing::container_interface(1, "eth0", "web", "0a1b2c3d4e5f");
    let view = shown(InterfaceView::from(&*web));
    let container = json!({
        "runtime": "docker", "name": "web", "ids": ["id-web"], "image": "nginx:1.27", "end": "container",
    });
    assert_eq!((&view["container"], &view["pod"], &view["network"]), (&container, &Value::Null, &json!("bridge")));
}

#[test]
fn absent_values_are_null() {
    let view = shown(InterfaceView::from(&bare()));
    for field in [
        "mac",
        "kind",
        "peer",
        "master",
        "lower",
        "alias",
        "underlay",
        "parent",
        "pod",
        "container",
        "network",
        "device",
    ] {
        assert_eq!(view.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(
        view["netns"],
        json!({"name": null, "place": "host", "dev": 4, "inode": 4_026_531_833_u64, "cookie": 5, "generation": 0, "host": true})
    );
    assert_eq!(view["addresses"], json!([]));
}

#[test]
fn lower_interface_names_its_namespace() {
    for (place, netns) in
        [(LowerPlace::Same, json!("cni-1b2c")), (LowerPlace::Host, json!("host")), (LowerPlace::Elsewhere, Value::Null)]
    {
        let mut interface = of_a_pod();
        interface.extras = Extras::new(Some(Lower::new(3, place)), Some("uplink".into()), Box::new(["wan".into()]));
        let view = shown(InterfaceView::from(&interface));
        assert_eq!(view["lower"], json!({"netns": netns, "ifindex": 3}));
        assert_eq!((&view["alias"], &view["alt_names"]), (&json!("uplink"), &json!(["wan"])));
    }
}

#[test]
fn tunnel_and_hardware_have_all_fields() {
    let mut interface = bare();
    interface.extras = crate::testing::extras();
    let view = shown(InterfaceView::from(&interface));
    assert_eq!(view["underlay"], json!({"local": "192.0.2.1", "remote": null}));
    let parent = json!({"bus": "pci", "device": "0000:3b:02.1", "physical_function": "0000:3b:00.0"});
    assert_eq!(view["parent"], parent);
}

#[test]
fn update_has_time_and_changed_fields() {
    let event = Event::Updated(Arc::new(bare()), Changes::MAC.union(Changes::MTU));
    let view = shown(EventView::new(&event, SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_001)));
    assert_eq!(view["event"], "Updated");
    assert_eq!(view["time"], "1970-01-01T00:00:01.500000001Z");
    assert_eq!(view["changed"], json!(["mac", "mtu"]));
    assert_eq!(view["interface"]["name"], "tun0");
}

#[test]
fn deletion_has_final_counters() {
    let view = shown(EventView::new(&deleted(&Arc::new(bare())), SystemTime::UNIX_EPOCH));
    let none = json!({"bytes": 0, "packets": 0, "errors": 0, "dropped": 0});
    assert_eq!(view["final"]["receive"], json!({"bytes": 70, "packets": 1, "errors": 0, "dropped": 0}));
    assert_eq!(view["final"]["transmit"], none);
    let renamed = Event::Deleted(Arc::new(bare()), None);
    assert_eq!(shown(EventView::new(&renamed, SystemTime::UNIX_EPOCH)).get("final"), None);
}

#[test]
fn synced_has_only_its_name() {
    assert_eq!(shown(EventView::new(&Event::Synced, SystemTime::now())), json!({"event": "Synced"}));
}

#[test]
fn name_that_is_not_utf8_is_escaped() {
    let mut interface = bare();
    interface.name = IfName::new(b"eth\xff\"").unwrap();
    assert_eq!(shown(InterfaceView::from(&interface))["name"], "eth\\xff\"");
}

/// The paths of all fields of a value, without those of an `interface`, which has its own table, and of `final`.
fn paths(value: &Value, prefix: &str) -> Vec<String> {
    let Value::Object(fields) = value else { return Vec::new() };
    let each = fields.iter().flat_map(|(key, value)| {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let inner = if path == "interface" || path == "final" { Vec::new() } else { paths(value, &path) };
        std::iter::once(path).chain(inner)
    });
    each.collect()
}

#[test]
fn tables_name_every_field() {
    let interface = Arc::new(of_a_pod());
    let mut upper = of_a_pod();
    upper.extras = crate::testing::extras();
    upper.owner = with_device().owner;
    let container = crate::testing::container_interface(1, "eth0", "web", "0a1b2c3d4e5f");
    // No interface belongs to a pod and a container.
    let mut all = shown(InterfaceView::from(&upper));
    all["container"] = shown(InterfaceView::from(&*container))["container"].take();
    let event = deleted(&interface);
    let answer = Answer { interface: interface.clone(), confidence: Confidence::Exact };
    let line = Line { seq: 7, event: event.clone(), time: SystemTime::now(), merged: 0 };
    let readings = [crate::testing::reading(7, 100)];
    let mut counters = shown(CountersView::new(SystemTime::now(), readings.iter()));
    // The table names the fields of each element.
    counters["interfaces"] = counters["interfaces"][0].take();
    let objects: [(Value, &[Field]); 7] = [
        (all, INTERFACE),
        (shown(EventView::new(&event, SystemTime::now())), EVENT),
        (shown(LineView::from(&line)), LINE),
        (shown(LookupView::from(&answer)), LOOKUP),
        (counters, COUNTERS),
        (shown(NodeView { node: "worker-1", version: "1" }), NODE),
        (shown(FaultView { error: "x" }), FAULT),
    ];
    for (value, fields) in objects {
        let mut documented: Vec<_> = fields.iter().map(|field| field.path.to_owned()).collect();
        let mut written = paths(&value, "");
        documented.sort();
        written.sort();
        assert_eq!(documented, written);
    }
}

#[test]
fn api_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let page = markdown(&Arc::new(of_a_pod()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/api.md is old: UPDATE_DOCS=1 cargo test -p netns-agent json::");
}
