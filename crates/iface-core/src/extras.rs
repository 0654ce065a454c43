//! Properties that few interfaces have: what is below, behind and around an interface.

use std::fmt;
use std::net::IpAddr;

#[cfg(doc)]
use crate::Interface;

/// The interface below a VLAN, macvlan, ipvlan or tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lower {
    /// Index of the lower interface in the lower interface's namespace.
    pub ifindex: u32,
    /// Namespace of the lower interface.
    pub place: LowerPlace,
}

impl Lower {
    /// A lower interface.
    #[must_use]
    pub fn new(ifindex: u32, place: LowerPlace) -> Self {
        Self { ifindex, place }
    }
}

/// The namespace of a lower interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LowerPlace {
    /// The namespace of the upper interface.
    Same,
    /// The host's namespace, while the upper interface is in another namespace.
    Host,
    /// A third namespace: the kernel tells the namespace only as an nsid of the upper interface's namespace.
    Elsewhere,
}

/// Properties that few interfaces have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extras {
    /// The interface below a VLAN, macvlan, ipvlan or tunnel (`IFLA_LINK`; of a VXLAN `IFLA_VXLAN_LINK`).
    pub lower: Option<Lower>,
    /// `IFLA_IFALIAS`, at most 255 bytes.
    pub alias: Option<Box<str>>,
    /// `IFLA_ALT_IFNAME`: the first 16 at most, of at most 127 bytes each.
    pub alt_names: Box<[Box<str>]>,
    /// The ends of a tunnel.
    pub underlay: Option<Box<Underlay>>,
    /// The hardware.
    pub parent: Option<Box<Parent>>,
}

impl Extras {
    /// The properties in the form of [`Interface::extras`]: `None` if there are none.
    #[must_use]
    pub fn new(lower: Option<Lower>, alias: Option<Box<str>>, alt_names: Box<[Box<str>]>) -> Option<Box<Self>> {
        Self { lower, alias, alt_names, ..Self::default() }.boxed()
    }

    /// The properties in the form of [`Interface::extras`]: `None` if there are none.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        let Self { lower, alias, alt_names, underlay, parent } = &self;
        let has_any = lower.is_some() || alias.is_some() || !alt_names.is_empty();
        (has_any || underlay.is_some() || parent.is_some()).then(|| Box::new(self))
    }
}

/// The ends of a tunnel in the network below; `None` where any address serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Underlay {
    /// The own address.
    pub local: Option<IpAddr>,
    /// The address of the far end, or the multicast group of a VXLAN.
    pub remote: Option<IpAddr>,
}

impl Underlay {
    /// The ends of a tunnel.
    #[must_use]
    pub fn new(local: Option<IpAddr>, remote: Option<IpAddr>) -> Self {
        Self { local, remote }
    }
}

impl fmt::Display for Underlay {
    /// `192.0.2.1-192.0.2.9`; `*` stands for any address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: Option<IpAddr>| address.map_or("*".to_owned(), |address| address.to_string());
        f.pad(&format!("{}-{}", end(self.local), end(self.remote)))
    }
}

/// The hardware behind an interface (`IFLA_PARENT_DEV_BUS_NAME` and `IFLA_PARENT_DEV_NAME`, Linux 5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parent {
    /// Name of the bus: `pci`, `virtio`, `usb`, `auxiliary` …
    pub bus: Box<str>,
    /// Name of the device on the bus; on `pci` the address, like `0000:3b:02.1`.
    pub device: Box<str>,
    /// The PCI address of the physical function whose virtual function (SR-IOV) the device is.
    pub physical_function: Option<Box<str>>,
}

impl Parent {
    /// A device of a bus that is not known as a virtual function.
    #[must_use]
    pub fn new(bus: &str, device: &str) -> Self {
        Self { bus: bus.into(), device: device.into(), physical_function: None }
    }
}

impl fmt::Display for Parent {
    /// `pci/0000:3b:02.1`, and for a virtual function `pci/0000:3b:02.1@0000:3b:00.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.physical_function.iter().flat_map(|function| ["@", function]);
        f.pad(&["", &self.bus, "/", &self.device].into_iter().chain(function).collect::<String>())
    }
}
