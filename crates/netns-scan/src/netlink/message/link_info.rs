//! `IFLA_LINKINFO`: the kind of a link, and the underlay of a tunnel.

use std::net::IpAddr;

use iface_core::{Kind, Underlay};
use libc::{IFLA_INFO_DATA, IFLA_INFO_KIND};

use super::attributes::Attributes;
use super::{Malformed, text, u32_of};

/// A decoded `IFLA_LINKINFO`.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) kind: Option<Kind>,
    pub(super) underlay: Option<Box<Underlay>>,
    /// Ifindex of the lower device, 0 for none, of a kind whose `IFLA_LINK` names no lower device.
    pub(super) link: Option<u32>,
}

/// Attribute types of a tunnel's `IFLA_INFO_DATA`, 0 where the kind has no such attribute.
struct Layout {
    local: [u16; 2],
    remote: [u16; 2],
    /// `None` if `IFLA_LINK` names the lower device. A driver without `ndo_get_iflink` leaves `IFLA_LINK` out, and in
    /// another namespace than the tunnel's own gives its own ifindex with the nsid of the tunnel's.
    link: Option<u16>,
}

/// `linux/if_link.h` (VXLAN, GENEVE) and `linux/if_tunnel.h`. Attributes of addresses are for IPv4 and IPv6, or for both.
fn layout(kind: &str) -> Option<Layout> {
    let (local, remote, link) = match kind {
        "vxlan" => ([4, 17], [2, 16], Some(3)),
        "geneve" => ([17, 18], [2, 7], Some(0)),
        "wireguard" | "bareudp" | "gtp" | "ppp" => ([0, 0], [0, 0], Some(0)),
        "gre" | "gretap" | "ip6gre" | "ip6gretap" => ([6, 0], [7, 0], None),
        "ipip" | "sit" | "ip6tnl" => ([2, 0], [3, 0], None),
        "vti" => ([4, 0], [5, 0], None),
        _ => return None,
    };
    Some(Layout { local, remote, link })
}

/// Reads the kind, and for a tunnel also `IFLA_INFO_DATA`, which follows the kind.
#[inline]
pub(super) fn read(nested: &[u8]) -> Result<Info, Malformed> {
    // Nearly all links of a node are veths, and no tunnels: their first attribute is all there is to read.
    const VETH: &[u8] = b"veth\0";
    if let Some(Ok((IFLA_INFO_KIND, VETH))) = Attributes(nested).next() {
        return Ok(Info { kind: Some(Kind::new("veth")), ..Info::default() });
    }
    read_any(nested)
}

fn read_any(nested: &[u8]) -> Result<Info, Malformed> {
    let mut info = Info::default();
    let mut layout_of_kind = None;
    for attribute in Attributes(nested) {
        match (attribute?, &layout_of_kind) {
            ((IFLA_INFO_KIND, value), None) => {
                let Ok(kind) = std::str::from_utf8(text(value)) else { break };
                info.kind = Some(Kind::new(kind));
                layout_of_kind = layout(kind);
                let Some(layout) = &layout_of_kind else { break };
                info.link = layout.link.map(|_| 0);
            }
            ((IFLA_INFO_DATA, value), Some(layout)) => {
                info.read_data(value, layout)?;
                break;
            }
            _ => {}
        }
    }
    Ok(info)
}

impl Info {
    fn read_data(&mut self, nested: &[u8], layout: &Layout) -> Result<(), Malformed> {
        let mut underlay = Underlay::default();
        for attribute in Attributes(nested) {
            match attribute? {
                (0, _) => {}
                (kind, value) if layout.local.contains(&kind) => underlay.local = address(value),
                (kind, value) if layout.remote.contains(&kind) => underlay.remote = address(value),
                (kind, value) if layout.link == Some(kind) => self.link = Some(u32_of(value)?),
                _ => {}
            }
        }
        self.underlay = (underlay != Underlay::default()).then(|| Box::new(underlay));
        Ok(())
    }
}

/// An address that is set: the kernel writes zeros for any address.
fn address(value: &[u8]) -> Option<IpAddr> {
    let address = match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    };
    address.filter(|address| !address.is_unspecified())
}
