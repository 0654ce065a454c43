use iface_core::{IfName, Kind, Lower, LowerPlace, MacAddr, OperState, Parent, Underlay};
use libc::{
    AF_INET, AF_INET6, AF_UNSPEC, IFF_UP, IFLA_ADDRESS, IFLA_CARRIER_CHANGES, IFLA_IFNAME, IFLA_LINK,
    IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MTU, IFLA_NEW_IFINDEX, IFLA_NEW_NETNSID, IFLA_OPERSTATE, IFLA_STATS64,
};
use proptest::prelude::*;

use super::link::LINK_LEN;
use super::*;

/// `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// Writes a message as the kernel does.
fn message(kind: u16, fixed: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(fixed);
    for (attribute, value) in attributes {
        bytes.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        bytes.extend_from_slice(&attribute.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(align(bytes.len()), 0);
    }
    let len = bytes.len() as u32;
    bytes[0..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

fn link_fixed(family: i32, device_type: u16, ifindex: u32) -> [u8; LINK_LEN] {
    let mut fixed = [0; LINK_LEN];
    fixed[0] = family as u8;
    fixed[2..4].copy_from_slice(&device_type.to_ne_bytes());
    fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    fixed[8..12].copy_from_slice(&(IFF_UP as u32).to_ne_bytes());
    fixed
}

fn single(bytes: &[u8]) -> Body<'_> {
    let messages: Vec<_> = parse(bytes).collect();
    assert_eq!(messages.len(), 1);
    messages[0].clone().expect("well formed").body
}

fn single_link(bytes: &[u8]) -> Option<Link> {
    match single(bytes) {
        Body::NewLink(message) => message.link().expect("well formed"),
        other => panic!("not a link: {other:?}"),
    }
}

const MTU: (u16, &[u8]) = (IFLA_MTU, &1500_u32.to_ne_bytes());

#[test]
fn veth_names_its_peer() {
    const ETHERNET: u16 = 1;
    let (peer, nsid) = (9_u32.to_ne_bytes(), 3_i32.to_ne_bytes());
    let attributes: [(u16, &[u8]); 8] = [
        (IFLA_IFNAME, b"eth\xff\0"),
        MTU,
        (IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
        (IFLA_OPERSTATE, &[6]),
        (IFLA_LINK, &peer),
        (IFLA_LINK_NETNSID, &nsid),
        // With NLA_F_NESTED.
        (IFLA_LINKINFO | 0x8000, &[9, 0, 1, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0]),
        (IFLA_CARRIER_CHANGES, &7_u32.to_ne_bytes()),
    ];
    let bytes = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, ETHERNET, 2), &attributes);
    let expected = Link {
        ifindex: 2,
        name: IfName::new(b"eth\xff").unwrap(),
        mac: Some(MacAddr::from([2, 0, 0, 0, 0, 1])),
        kind: Some(Kind::new("veth")),
        oper_state: OperState::Up,
        admin_up: true,
        mtu: 1500,
        pair: Some(Pair { ifindex: 9, place: PairPlace::Nsid(3) }),
        master: None,
        lower: None,
        lower_nsid: None,
        alias: None,
        alt_names: Box::default(),
        underlay: None,
        parent: None,
        carrier_changes: 7,
        counters: None,
    };
    assert_eq!(single_link(&bytes), Some(expected));
}

#[test]
fn link_has_master_lower_and_aliases() {
    let (master, lower, nsid) = (4_u32.to_ne_bytes(), 3_u32.to_ne_bytes(), 0_i32.to_ne_bytes());
    // Two names of the type IFLA_ALT_IFNAME, then a property of an unknown type.
    let names = [&[6, 0, 53, 0, b'a', 0, 0, 0, 8, 0, 53, 0, b'l', 0xff, b'b', 0][..], &[4, 0, 99, 0]].concat();
    let attributes: [(u16, &[u8]); 7] = [
        (IFLA_IFNAME, b"mv0\0"),
        MTU,
        (libc::IFLA_MASTER, &master),
        (IFLA_LINK, &lower),
        (IFLA_LINK_NETNSID, &nsid),
        (libc::IFLA_IFALIAS, b"uplink\0"),
        (libc::IFLA_PROP_LIST | 0x8000, &names),
    ];
    let bytes = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &attributes);
    let mut link = single_link(&bytes).unwrap();
    assert_eq!((link.master, link.pair, link.alias.as_deref()), (Some(4), None, Some("uplink")));
    assert_eq!(link.alt_names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "l\u{fffd}b"]);
    assert_eq!(link.lower, Some(Lower::new(3, LowerPlace::Elsewhere)));
    link.locate(Some(1));
    assert_eq!(link.lower, Some(Lower::new(3, LowerPlace::Elsewhere)));
    link.locate(Some(0));
    assert_eq!(link.lower, Some(Lower::new(3, LowerPlace::Host)));
}

/// `IFLA_LINKINFO` of a kind with `IFLA_INFO_DATA`.
fn link_info(kind: &str, data: &[(u16, &[u8])]) -> Vec<u8> {
    let data: Vec<u8> = data.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect();
    let kind = [kind.as_bytes(), b"\0"].concat();
    [attribute(libc::IFLA_INFO_KIND, &kind), attribute(libc::IFLA_INFO_DATA | 0x8000, &data)].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [(value.len() as u16 + 4).to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn tunnel_has_its_underlay() {
    let (own, far, any) = ([192, 0, 2, 1], [192, 0, 2, 9], [0; 4]);
    let far6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let lower = 5_u32.to_ne_bytes();
    let (v4, v6) = (Underlay::new(Some(own.into()), Some(far.into())), Underlay::new(None, Some(far6.into())));
    for (kind, data, underlay, below) in [
        ("vxlan", &[(3, &lower[..]), (4, &own[..]), (2, &far[..])][..], Some(v4), 5),
        ("vxlan", &[(16, &far6)], Some(v6), 0),
        ("geneve", &[(1, &lower), (7, &far6)], Some(v6), 0),
        ("gretap", &[(6, &own), (7, &far)], Some(v4), 0),
        ("ip6gre", &[(6, &[0; 16]), (7, &far6)], Some(v6), 0),
        ("ipip", &[(2, &own), (3, &far)], Some(v4), 0),
        ("vti", &[(4, &own), (5, &far)], Some(v4), 0),
        // A tunnel of all peers, and a kind with other attributes under the same types.
        ("sit", &[(2, &any), (3, &any)], None, 0),
        ("vlan", &[(2, &own), (3, &far)], None, 0),
    ] {
        let info = link_info(kind, data);
        let bytes = message(
            RTM_NEWLINK,
            &link_fixed(AF_UNSPEC, 1, 2),
            &[(IFLA_IFNAME, b"t0\0"), MTU, (IFLA_LINKINFO | 0x8000, &info)],
        );
        let link = single_link(&bytes).unwrap();
        assert_eq!(link.underlay.as_deref().copied(), underlay, "{kind}");
        assert_eq!(link.lower, (below != 0).then(|| Lower::new(below, LowerPlace::Same)), "{kind}");
    }
}

/// A tunnel in another namespace than the one of its packets names itself, with the nsid of that namespace.
#[test]
fn tunnel_is_not_below_itself() {
    let (itself, nsid, lower) = (2_u32.to_ne_bytes(), 0_i32.to_ne_bytes(), 7_u32.to_ne_bytes());
    for (kind, data, below) in [
        ("wireguard", &[][..], None),
        ("geneve", &[], None),
        ("vxlan", &[], None),
        ("vxlan", &[(3, &lower[..])], Some(7)),
        ("macvlan", &[], Some(2)),
    ] {
        let info = link_info(kind, data);
        let attributes = [
            (IFLA_IFNAME, b"t0\0".as_slice()),
            MTU,
            (IFLA_LINK, &itself),
            (IFLA_LINK_NETNSID, &nsid),
            (IFLA_LINKINFO, &info),
        ];
        let mut link = single_link(&message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &attributes)).unwrap();
        link.locate(Some(0));
        assert_eq!(link.lower, below.map(|index| Lower::new(index, LowerPlace::Host)), "{kind}");
    }
}

#[test]
fn hardware_has_bus_and_device() {
    let fixed = link_fixed(AF_UNSPEC, 1, 2);
    let (bus, device) = (b"pci\0".as_slice(), b"0000:3b:02.1\0".as_slice());
    let named = (IFLA_IFNAME, b"eth0\0".as_slice());
    let both = [named, MTU, (libc::IFLA_PARENT_DEV_NAME, device), (libc::IFLA_PARENT_DEV_BUS_NAME, bus)];
    let link = single_link(&message(RTM_NEWLINK, &fixed, &both)).unwrap();
    assert_eq!(link.parent.as_deref(), Some(&Parent::new("pci", "0000:3b:02.1")));
    // A device of a class of its own, without a bus.
    assert_eq!(single_link(&message(RTM_NEWLINK, &fixed, &both[..3])).unwrap().parent, None);
}

/// A pod may give an interface thousands of alternative names.
#[test]
fn sixteen_alternative_names_are_kept() {
    let names = [6, 0, 53, 0, b'a', 0, 0, 0].repeat(100);
    let attributes = [(IFLA_IFNAME, &b"eth0\0"[..]), MTU, (libc::IFLA_PROP_LIST, &names)];
    let bytes = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &attributes);
    assert_eq!(single_link(&bytes).unwrap().alt_names.len(), 16);
}

#[test]
fn bridge_port_removal_deletes_no_link() {
    let bytes = message(RTM_DELLINK, &link_fixed(libc::AF_BRIDGE, 1, 2), &[(IFLA_IFNAME, b"veth0\0"), MTU]);
    assert_eq!(single(&bytes), Body::Other);
    let bytes = message(RTM_DELLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"veth0\0"), MTU]);
    assert_eq!(single(&bytes), Body::DelLink(GoneLink::unannounced(2)));
    let to = (IFLA_NEW_NETNSID, &[0; 4][..]);
    let moved = message(RTM_DELLINK, &link_fixed(AF_UNSPEC, 1, 2), &[to]);
    assert_eq!(single(&moved), Body::DelLink(GoneLink { moved_to: Some(2), ..GoneLink::unannounced(2) }));
    let moved = message(RTM_DELLINK, &link_fixed(AF_UNSPEC, 1, 2), &[to, (IFLA_NEW_IFINDEX, &7_u32.to_ne_bytes())]);
    assert_eq!(single(&moved), Body::DelLink(GoneLink { moved_to: Some(7), ..GoneLink::unannounced(2) }));
}

#[test]
fn message_without_mtu_has_no_link() {
    let bytes = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"wlan0\0")]);
    assert_eq!(single_link(&bytes), None);
}

#[test]
fn tunnel_has_no_mac_infiniband_has() {
    const IPIP: u16 = 768;
    const INFINIBAND: u16 = 32;
    let named = (IFLA_IFNAME, b"x\0".as_slice());
    let tunnel = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, IPIP, 2), &[named, MTU, (IFLA_ADDRESS, &[10, 0, 0, 1])]);
    assert_eq!(single_link(&tunnel).unwrap().mac, None);
    let long: Vec<u8> = (0..20).collect();
    let infiniband = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, INFINIBAND, 2), &[named, MTU, (IFLA_ADDRESS, &long)]);
    assert_eq!(single_link(&infiniband).unwrap().mac, MacAddr::new(&long));
}

#[test]
fn point_to_point_address_is_local() {
    let fixed = [AF_INET as u8, 32, 0, 0, 2, 0, 0, 0];
    let attributes: [(u16, &[u8]); 2] = [(IFA_ADDRESS, &[10, 0, 0, 2]), (IFA_LOCAL, &[10, 0, 0, 1])];
    let bytes = message(RTM_NEWADDR, &fixed, &attributes);
    let address = Address { ifindex: 2, net: "10.0.0.1/32".parse().unwrap(), peer: Some([10, 0, 0, 2].into()) };
    assert_eq!(single(&bytes), Body::NewAddress(address));
    let attributes: [(u16, &[u8]); 2] = [(IFA_ADDRESS, &[10, 0, 0, 1]), (IFA_LOCAL, &[10, 0, 0, 1])];
    let bytes = message(RTM_NEWADDR, &fixed, &attributes);
    assert_eq!(single(&bytes), Body::NewAddress(Address { peer: None, ..address }));
}

/// `ip -6 address change` gives a known address another peer, and announces no deletion.
#[test]
fn ipv6_peer_is_no_part_of_address() {
    let fixed = [AF_INET6 as u8, 128, 0, 0, 2, 0, 0, 0];
    let (local, peer): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let attributes: [(u16, &[u8]); 2] = [(IFA_ADDRESS, &peer.octets()), (IFA_LOCAL, &local.octets())];
    let bytes = message(RTM_NEWADDR, &fixed, &attributes);
    let address = Address { ifindex: 2, net: "fd00::1/128".parse().unwrap(), peer: None };
    assert_eq!(single(&bytes), Body::NewAddress(address));
}

#[test]
fn links_and_stats_carry_equal_counters() {
    let values: Vec<u8> = (1..=25_u64).flat_map(u64::to_ne_bytes).collect();
    let expected = Counters::new(Direction::new(3, 1).lost(5, 7), Direction::new(4, 2).lost(6, 8));
    let link = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_STATS64, &values)]);
    let Body::NewLink(link) = single(&link) else { panic!("not a link") };
    assert_eq!(link.counters(), Ok(Some(expected)));
    let mut fixed = [0; STATS_LEN];
    fixed[4] = 2;
    let stats = message(RTM_NEWSTATS, &fixed, &[(IFLA_STATS_LINK_64, &values)]);
    let Body::Stats { ifindex: 2, counters, details } = single(&stats) else { panic!("no counters of link 2") };
    assert_eq!(counters, expected);
    assert_eq!(details.read(), CounterDetails::new(9..=25));
    assert_eq!(link.details(), Some(details.read()));
}

#[test]
fn truncated_message_ends_the_datagram() {
    let whole = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"eth0\0"), MTU]);
    for len in 1..whole.len() {
        let cut: Vec<_> = parse(&whole[..len]).collect();
        assert!(matches!(cut.as_slice(), [Err(_)]), "{len}: {cut:?}");
    }
    // An attribute longer than the message.
    let mut long = whole.clone();
    long[HEADER_LEN + LINK_LEN] = 0xff;
    let Body::NewLink(link) = single(&long) else { panic!("not a link") };
    assert!(link.link().is_err());
}

/// The message after `struct nlmsghdr`.
fn body_of(mut request: Request, kind: u16, flags: i32) -> Vec<u8> {
    let bytes = request.bytes(77).to_vec();
    let header = NetlinkBuffer::new_checked(&bytes).expect("well formed");
    assert_eq!(header.length() as usize, bytes.len());
    assert_eq!((header.message_type(), i32::from(header.flags())), (kind, libc::NLM_F_REQUEST | flags));
    assert_eq!((header.sequence_number(), header.port_number()), (77, 0));
    header.payload().to_vec()
}

/// A fixed header followed by attributes of four bytes.
fn layout(fixed: &[u8], attributes: &[(u16, i32)]) -> Vec<u8> {
    let mut bytes = fixed.to_vec();
    for (attribute, value) in attributes {
        bytes.extend_from_slice(&8_u16.to_ne_bytes());
        bytes.extend_from_slice(&attribute.to_ne_bytes());
        bytes.extend_from_slice(&value.to_ne_bytes());
    }
    bytes
}

#[test]
fn requests_have_the_kernels_layout() {
    const RTM_GETNSID: u16 = 90;
    const RTM_GETSTATS: u16 = 94;
    const IFLA_TARGET_NETNSID: u16 = 46;
    const IFA_TARGET_NETNSID: u16 = 10;
    const SKIP_STATS: (u16, i32) = (libc::IFLA_EXT_MASK, 1 << 3);
    const NETNSA_FD: u16 = 3;
    let (dump, ack) = (libc::NLM_F_DUMP, libc::NLM_F_ACK);
    let mut by_index = [0; LINK_LEN];
    by_index[4..8].copy_from_slice(&9_u32.to_ne_bytes());
    let mut filter = [0; STATS_LEN];
    filter[8] = 1;
    let links = body_of(Request::list_links(Some(-2)), libc::RTM_GETLINK, dump);
    assert_eq!(links, layout(&[0; LINK_LEN], &[(IFLA_TARGET_NETNSID, -2)]));
    assert_eq!(body_of(Request::list_links(None), libc::RTM_GETLINK, dump), [0; LINK_LEN]);
    let link = body_of(Request::get_link(Some(3), 9), libc::RTM_GETLINK, ack);
    assert_eq!(link, layout(&by_index, &[SKIP_STATS, (IFLA_TARGET_NETNSID, 3)]));
    let addresses = body_of(Request::list_addresses(Some(3)), libc::RTM_GETADDR, dump);
    assert_eq!(addresses, layout(&[0; ADDRESS_LEN], &[(IFA_TARGET_NETNSID, 3)]));
    assert_eq!(body_of(Request::list_stats(), RTM_GETSTATS, dump), filter);
    let nsid = body_of(Request::get_nsid_of_fd(5), RTM_GETNSID, ack);
    assert_eq!(nsid, layout(&[0; NSID_LEN], &[(NETNSA_FD, 5)]));
    let assign = body_of(Request::assign_nsid(5), RTM_NEWNSID, ack);
    assert_eq!(assign, layout(&[0; NSID_LEN], &[(NETNSA_FD, 5), (NETNSA_NSID, -1)]));
    assert_eq!(body_of(Request::probe_assign(), RTM_NEWNSID, ack), [0; NSID_LEN]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        kind in prop_oneof![Just(RTM_NEWLINK), Just(RTM_NEWADDR), Just(RTM_NEWNSID), Just(RTM_NEWSTATS), any::<u16>()],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = message(kind, &rest, &[]);
        bytes.extend_from_slice(&rest);
        for message in parse(&bytes).flatten() {
            if let Body::NewLink(link) = message.body {
                let _ = (link.link(), link.counters());
            }
        }
        prop_assert!(parse(&rest).count() <= rest.len() / HEADER_LEN + 1);
    }
}
