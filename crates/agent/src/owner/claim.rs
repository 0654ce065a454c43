//! ResourceClaims of Dynamic Resource Allocation: the devices behind interfaces of known pods.
//!
//! A driver moves an interface into a pod without CNI, and states the interface in
//! `ResourceClaim.status.devices[].networkData`. A claim names no owner: a driver can be wrong, and a claim can be
//! shared by pods. So a device is joined only to interfaces of the pods for which its claim is reserved.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use iface_core::{IfName, MacAddr};

use crate::interface::{Device, Interface};
use crate::owner::cni::network::Match;
use crate::owner::index::remove_value;

/// A claim of the API server, trimmed to the used fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// Uids of the pods that may use the claim (`status.reservedFor`).
    pub pods: Box<[Arc<str>]>,
    /// Devices with an interface.
    pub devices: Box<[DeviceStatus]>,
}

/// A device with its interface, as the driver states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The device.
    pub device: Arc<Device>,
    /// Name of the interface inside the pod.
    pub interface: Option<IfName>,
    /// Link-layer address.
    pub mac: Option<MacAddr>,
    /// Addresses.
    pub addresses: Box<[IpAddr]>,
}

/// An item of a watch of claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimEvent {
    /// Claims have changed.
    Change(ClaimChange),
    /// The API server has no claims, or forbids them: a line with the remedy.
    Unused(String),
    /// A request failed and will be retried: a line with the error.
    Fault(String),
}

/// A change of claims in the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    /// The claim is new or has changed.
    Applied(ClaimRecord),
    /// The claim with this uid is deleted.
    Deleted(Arc<str>),
    /// The complete list of claims.
    Listed(Vec<ClaimRecord>),
}

impl DeviceStatus {
    /// The agreement of the entry with an interface.
    fn fit(&self, interface: &Interface, carriers: impl Fn(MacAddr) -> usize) -> Match {
        if self.interface.is_some() || self.mac.is_some() {
            return Match::of(interface, self.mac.as_slice(), self.interface, &[], carriers);
        }
        let has = |address: &IpAddr| interface.addresses.iter().any(|net| net.addr() == *address);
        if self.addresses.iter().any(has) { Match::Name } else { Match::None }
    }
}

/// The claims with interfaces. Other claims need no memory.
#[derive(Debug, Default)]
pub(in crate::owner) struct Claims {
    by_uid: BTreeMap<Arc<str>, ClaimRecord>,
    by_pod: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Claims {
    /// Applies a change; returns the uids of the pods whose devices may have changed.
    pub(in crate::owner) fn apply(&mut self, change: ClaimChange) -> BTreeSet<Arc<str>> {
        match change {
            ClaimChange::Applied(record) => self.set(record),
            ClaimChange::Deleted(uid) => self.remove(&uid),
            ClaimChange::Listed(records) => {
                let listed: BTreeSet<_> = records.iter().map(|record| &record.uid).collect();
                let missing: Vec<_> = self.by_uid.keys().filter(|uid| !listed.contains(uid)).cloned().collect();
                let mut pods: BTreeSet<_> = missing.iter().flat_map(|uid| self.remove(uid)).collect();
                pods.extend(records.into_iter().flat_map(|record| self.set(record)));
                pods
            }
        }
    }

    fn set(&mut self, record: ClaimRecord) -> BTreeSet<Arc<str>> {
        if self.by_uid.get(&record.uid) == Some(&record) {
            return BTreeSet::new();
        }
        let mut pods = self.remove(&record.uid);
        if !record.devices.is_empty() {
            pods.extend(record.pods.iter().cloned());
            for pod in &record.pods {
                self.by_pod.entry(pod.clone()).or_default().insert(record.uid.clone());
            }
            self.by_uid.insert(record.uid.clone(), record);
        }
        pods
    }

    fn remove(&mut self, uid: &Arc<str>) -> BTreeSet<Arc<str>> {
        let Some(record) = self.by_uid.remove(uid) else { return BTreeSet::new() };
        for pod in &record.pods {
            remove_value(&mut self.by_pod, pod, uid);
        }
        record.pods.iter().cloned().collect()
    }

    /// The device of an interface of the pod; `None` if two devices match. The link-layer address decides before the
    /// name; `carriers` counts the interfaces of the pod with an address.
    pub(in crate::owner) fn device_of(
        &self,
        pod: &str,
        interface: &Interface,
        carriers: impl Fn(MacAddr) -> usize,
    ) -> Option<Arc<Device>> {
        let fits: Vec<_> = self.of_pod(pod).map(|status| (status.fit(interface, &carriers), &status.device)).collect();
        let best = fits.iter().map(|(fit, _)| *fit).max().filter(|best| *best >= Match::Name)?;
        let mut devices = fits.iter().filter(|(fit, _)| *fit == best).map(|(_, device)| *device);
        let first = devices.next()?;
        devices.all(|other| other == first).then(|| first.clone())
    }

    /// Whether a claim of the pod has the device.
    pub(in crate::owner) fn names(&self, pod: &str, device: &Device) -> bool {
        self.of_pod(pod).any(|status| *status.device == *device)
    }

    /// Whether the device of some interface of the pod depends on interfaces with this address.
    pub(in crate::owner) fn mentions(&self, pod: &str, mac: MacAddr) -> bool {
        self.of_pod(pod).any(|status| status.mac == Some(mac))
    }

    fn of_pod(&self, pod: &str) -> impl Iterator<Item = &DeviceStatus> {
        let claims = self.by_pod.get(pod).into_iter().flatten();
        claims.filter_map(|uid| self.by_uid.get(uid)).flat_map(|record| &*record.devices)
    }
}
