//! Attributes of an interface's series.

use crate::interface::Interface;
use crate::metrics::catalog::keys;

/// Most addresses of an interface with a series of their own: a pod can give its interface any number.
const MOST_ADDRESSES: usize = 16;

/// Names and choice of an interface's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The names `interface` and `direction` of kubeletstats in place of the conventions' names.
    pub kubeletstats_names: bool,
    /// The MAC address on every series, not only on the info metric.
    pub mac: bool,
    /// The namespace's name on every series, not only on the info metric.
    pub netns: bool,
    /// The CNI network's name on every series, not only on the info metric.
    pub network: bool,
    /// The addresses on the info metric; never on other series, which would end with each change of an address.
    pub addresses: bool,
}

impl Attributes {
    /// Key of the interface's name.
    #[must_use]
    pub fn interface_key(self) -> &'static str {
        if self.kubeletstats_names { "interface" } else { keys::INTERFACE }
    }

    /// Key of the direction.
    #[must_use]
    pub fn direction_key(self) -> &'static str {
        if self.kubeletstats_names { "direction" } else { keys::DIRECTION }
    }

    /// Attributes of the interface, without the direction.
    pub fn of(self, interface: &Interface) -> impl Iterator<Item = (&'static str, String)> {
        let mac = self.mac.then(|| interface.mac.as_ref().map(dashed)).flatten();
        let netns = (self.netns && !interface.netns.is_host()).then(|| interface.netns.place.to_string());
        let network =
            interface.owner.as_ref().filter(|_| self.network).and_then(|owner| owner.network().map(|name| &**name));
        [
            Some((self.interface_key(), interface.name.to_string())),
            mac.map(|mac| (keys::MAC, mac)),
            netns.map(|netns| (keys::NETNS, netns)),
            network.map(|network| (keys::NETWORK, network.to_owned())),
        ]
        .into_iter()
        .flatten()
    }

    /// Attributes of the info metric of the interface.
    pub fn of_info(self, interface: &Interface) -> impl Iterator<Item = (&'static str, String)> {
        let all = Self { mac: true, netns: true, network: true, ..self };
        let shown = self.addresses && !interface.addresses.is_empty();
        let addresses = shown.then(|| {
            let addresses: Vec<_> = interface.addresses.iter().map(|net| net.addr().to_string()).collect();
            (keys::ADDRESSES, addresses.join(","))
        });
        let device = interface.owner.as_deref().and_then(|owner| owner.device());
        let device = device.into_iter().flat_map(|device| {
            [
                (keys::CLAIM, device.claim.to_string()),
                (keys::DEVICE_DRIVER, device.driver.to_string()),
                (keys::DEVICE_POOL, device.pool.clone()),
                (keys::DEVICE, device.name.clone()),
            ]
        });
        all.of(interface).chain(device).chain(addresses)
    }

    /// Attributes of each series of [`Measure::Address`](crate::metrics::catalog::Measure::Address): one for each of the first addresses of the interface.
    pub fn of_addresses(self, interface: &Interface) -> impl Iterator<Item = Vec<(&'static str, String)>> {
        let alt_names: Vec<_> = interface.alt_names().collect();
        let names = [
            interface.alias().map(|alias| (keys::ALIAS, alias.to_owned())),
            (!alt_names.is_empty()).then(|| (keys::ALT_NAMES, alt_names.join(","))),
        ];
        let names: Vec<_> = names.into_iter().flatten().collect();
        interface.addresses.iter().take(MOST_ADDRESSES).map(move |net| {
            let address = (keys::ADDRESS, net.addr().to_string());
            self.of(interface).chain([address]).chain(names.iter().cloned()).collect()
        })
    }
}

/// `AC-DE-48-23-45-67`, as the conventions write `host.mac`.
fn dashed(mac: &iface_core::MacAddr) -> String {
    mac.to_string().replace(':', "-").to_uppercase()
}
