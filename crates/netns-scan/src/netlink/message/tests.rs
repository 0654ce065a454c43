use proptest::prelude::*;

use super::*;

/// A message as the kernel would write it.
fn message(kind: u16, fixed: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(fixed);
    for (number, value) in attributes {
        bytes.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        bytes.extend_from_slice(&number.to_ne_bytes());
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

fn only(bytes: &[u8]) -> Body<'_> {
    let messages: Vec<_> = parse(bytes).collect();
    assert_eq!(messages.len(), 1);
    messages[0].clone().expect("well formed").body
}

fn only_link(bytes: &[u8]) -> Option<Link> {
    match only(bytes) {
        Body::NewLink(message) => message.link().expect("well formed"),
        other => panic!("not a link: {other:?}"),
    }
}

const MTU: (u16, &[u8]) = (IFLA_MTU, &1500_u32.to_ne_bytes());

#[test]
fn a_veth_is_read_with_its_other_end() {
    const ETHERNET: u16 = 1;
    let (peer, nsid) = (9_u32.to_ne_bytes(), 3_i32.to_ne_bytes());
    let attributes: [(u16, &[u8]); 8] = [
        (IFLA_IFNAME, b"eth\xff\0"),
        MTU,
        (IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
        (IFLA_OPERSTATE, &[6]),
        (IFLA_LINK, &peer),
        (IFLA_LINK_NETNSID, &nsid),
        // Nested, with the bit that says so.
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
        pair: Some(PairEnd { ifindex: 9, nsid: Some(3) }),
        carrier_changes: 7,
    };
    assert_eq!(only_link(&bytes), Some(expected));
}

#[test]
fn a_bridges_word_about_its_port_is_no_links_end() {
    let bytes = message(RTM_DELLINK, &link_fixed(libc::AF_BRIDGE, 1, 2), &[(IFLA_IFNAME, b"veth0\0"), MTU]);
    assert_eq!(only(&bytes), Body::Other);
    let bytes = message(RTM_DELLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"veth0\0"), MTU]);
    assert_eq!(only(&bytes), Body::DelLink { ifindex: 2 });
}

#[test]
fn a_message_without_an_mtu_describes_no_link() {
    let bytes = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"wlan0\0")]);
    assert_eq!(only_link(&bytes), None);
}

#[test]
fn a_tunnels_ip_address_is_no_mac_and_an_infiniband_address_is_whole() {
    const IPIP: u16 = 768;
    const INFINIBAND: u16 = 32;
    let named = (IFLA_IFNAME, b"x\0".as_slice());
    let tunnel = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, IPIP, 2), &[named, MTU, (IFLA_ADDRESS, &[10, 0, 0, 1])]);
    assert_eq!(only_link(&tunnel).unwrap().mac, None);
    let long: Vec<u8> = (0..20).collect();
    let infiniband = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, INFINIBAND, 2), &[named, MTU, (IFLA_ADDRESS, &long)]);
    assert_eq!(only_link(&infiniband).unwrap().mac, MacAddr::new(&long));
}

#[test]
fn a_point_to_point_address_is_the_own_end() {
    let fixed = [AF_INET as u8, 32, 0, 0, 2, 0, 0, 0];
    let attributes: [(u16, &[u8]); 2] = [(IFA_ADDRESS, &[10, 0, 0, 2]), (IFA_LOCAL, &[10, 0, 0, 1])];
    let bytes = message(RTM_NEWADDR, &fixed, &attributes);
    let address = Address { ifindex: 2, net: "10.0.0.1/32".parse().unwrap() };
    assert_eq!(only(&bytes), Body::NewAddress(address));
}

#[test]
fn counters_come_from_links_and_from_stats_alike() {
    let values: Vec<u8> = (1..=25_u64).flat_map(u64::to_ne_bytes).collect();
    let expected = Counters {
        receive: Direction { packets: 1, bytes: 3, errors: 5, dropped: 7 },
        transmit: Direction { packets: 2, bytes: 4, errors: 6, dropped: 8 },
        carrier_changes: 0,
    };
    let link = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_STATS64, &values)]);
    let Body::NewLink(link) = only(&link) else { panic!("not a link") };
    assert_eq!(link.counters(), Ok(Some(expected)));
    let mut fixed = [0; STATS_LEN];
    fixed[4] = 2;
    let stats = message(RTM_NEWSTATS, &fixed, &[(IFLA_STATS_LINK_64, &values)]);
    assert_eq!(only(&stats), Body::Stats { ifindex: 2, counters: expected });
}

#[test]
fn what_is_cut_off_is_malformed_and_ends_the_datagram() {
    let whole = message(RTM_NEWLINK, &link_fixed(AF_UNSPEC, 1, 2), &[(IFLA_IFNAME, b"eth0\0"), MTU]);
    for len in 1..whole.len() {
        let cut: Vec<_> = parse(&whole[..len]).collect();
        assert!(matches!(cut.as_slice(), [Err(_)]), "{len}: {cut:?}");
    }
    // An attribute that claims more than there is.
    let mut long = whole.clone();
    long[HEADER_LEN + LINK_LEN] = 0xff;
    let Body::NewLink(link) = only(&long) else { panic!("not a link") };
    assert!(link.link().is_err());
}

#[test]
fn a_request_is_what_it_says_it_is() {
    let mut request = Request::list_links(Some(-2));
    let bytes = request.bytes(77).to_vec();
    assert_eq!(u32_at(&bytes, 0), Some(bytes.len() as u32));
    assert_eq!((u16_at(&bytes, 4), u32_at(&bytes, 8)), (Some(RTM_GETLINK), Some(77)));
    let attributes: Vec<_> = Attributes(&bytes[HEADER_LEN + LINK_LEN..]).map(Result::unwrap).collect();
    assert_eq!(attributes, [(IFLA_TARGET_NETNSID, (-2_i32).to_ne_bytes().as_slice())]);
}

proptest! {
    #[test]
    fn nothing_the_kernel_could_send_is_a_panic(
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
