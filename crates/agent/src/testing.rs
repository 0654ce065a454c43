//! Made-up interfaces for tests and benches of what comes after the kernel.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::interface::{Container, ContainerOwner, End, Interface, Owner, Pod, PodOwner, Runtime, Source};
use crate::owner::pod::{Life, PodRecord};
use iface_core::{
    Counters, Direction, Extras, IfName, InterfaceId, Kind, Lower, LowerPlace, Netns, NetnsId, NetnsName, NsFile,
    OperState, Parent, Place, Underlay,
};
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
        Place::Named(name) => {
            name.as_bytes().iter().fold(7, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(*byte))
        }
        _ => 1,
    };
    let netns = Arc::new(Netns::new(NetnsId(inode), place).with_file(NsFile { dev: 4, inode }));
    let ifindex = u32::try_from(number).unwrap_or(u32::MAX);
    let mut interface = Interface::new(id(number), netns, ifindex, IfName::new(name).unwrap_or_default());
    interface.mac = "0a:58:0a:f4:00:05".parse().ok();
    interface.kind = Some(Kind::new("veth"));
    interface.oper_state = OperState::Up;
    interface.admin_up = true;
    interface.mtu = 1500;
    interface.since = since;
    interface
}

/// A copy of an interface with changes.
#[must_use]
pub fn changed(interface: &Interface, change: impl FnOnce(&mut Interface)) -> Arc<Interface> {
    let mut interface = interface.clone();
    change(&mut interface);
    Arc::new(interface)
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

/// A live pod of the API server, with the uid of the pod and without addresses.
#[must_use]
pub fn pod_record(pod: Arc<Pod>) -> PodRecord {
    PodRecord {
        named: pod.clone(),
        uid: pod.uid.as_deref().unwrap_or_default().into(),
        pod,
        version: None,
        created: 0,
        addresses: Vec::new(),
        host_network: false,
        life: Life::Live,
        networks: Vec::new(),
    }
}

/// An interface of a pod, in a namespace named after it.
#[must_use]
pub fn pod_interface(number: u64, name: impl AsRef<[u8]>, pod: &Arc<Pod>, since: SystemTime) -> Arc<Interface> {
    let place = Place::Named(NetnsName::new(format!("cni-{}", pod.name)));
    let owner = PodOwner {
        pod: pod.clone(),
        source: Source::CniCache,
        network: Some("cbr0".into()),
        device: None,
        leaked: false,
        end: End::Pod,
    };
    let owner = Owner::Pod(owner);
    changed(&interface(number, name, place, since), |interface| interface.owner = Some(Arc::new(owner)))
}

/// Every property that few interfaces have.
#[must_use]
pub fn extras() -> Option<Box<Extras>> {
    let mut parent = Parent::new("pci", "0000:3b:02.1");
    parent.physical_function = Some("0000:3b:00.0".into());
    let mut extras = Extras::default();
    extras.lower = Some(Lower::new(3, LowerPlace::Host));
    extras.underlay = Some(Box::new(Underlay::new(Some([192, 0, 2, 1].into()), None)));
    extras.parent = Some(Box::new(parent));
    extras.boxed()
}

/// An interface of a Docker container with this name, in a namespace named `netns`.
#[must_use]
pub fn container_interface(number: u64, name: &str, container: &str, netns: &str) -> Arc<Interface> {
    let container = Container {
        runtime: Runtime::Docker,
        name: container.to_owned(),
        ids: vec![format!("id-{container}")],
        image: Some("nginx:1.27".to_owned()),
    };
    let owner = ContainerOwner { container: container.into(), network: Some("bridge".into()), end: End::Pod };
    let place = Place::Named(NetnsName::new(netns));
    changed(&interface(number, name, place, at(1)), |one| one.owner = Some(Arc::new(Owner::Container(owner))))
}

/// Counters told apart by `bytes`.
#[must_use]
pub fn reading(number: u64, bytes: u64) -> Reading {
    let direction = |bytes| Direction::new(bytes, bytes / 10);
    Reading::new(id(number), Counters::new(direction(bytes), direction(bytes / 2)).with_carrier_changes(1))
}
