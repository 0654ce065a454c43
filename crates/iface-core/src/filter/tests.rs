//! Filters by name, by namespace, by address, and of host ends.

use super::*;
use crate::testing::{self, interface};
use crate::{Extras, IfName, Netns, NetnsId, NetnsName, NsFile, Peer, Place};

const NONE: &[&str] = &[];

fn allowed<'a>(filter: &Filter, names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| filter.allows(&interface(1, 0, 2, name, None))).collect()
}

fn with_addresses(addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Interface { addresses, ..interface(1, 0, 2, "eth0", None) }
}

#[test]
fn only_lo_is_left_out_by_default() {
    assert_eq!(allowed(&Filter::default(), &["eth0", "br-0", "lo"]), ["eth0", "br-0"]);
    assert_eq!(allowed(&Filter::everything(), &["eth0", "lo"]), ["eth0", "lo"]);
}

#[test]
fn names_are_matched_whole_and_expressions_anywhere() {
    let filter = Filter::from_words(&["eth0", " /^br-/ ", "/5$/"], &["lo"], NONE).unwrap();
    assert_eq!(allowed(&filter, &["eth0", "br-0", "eth01", "abr-3", "lo", "ens5"]), ["eth0", "br-0", "ens5"]);
}

/// The syntax of RE2: flags, Unicode classes and scripts.
#[test]
fn expressions_have_the_syntax_of_re2() {
    let filter = Filter::from_words(&["/(?i)^ETH/", r"/^\p{L}+$/", r"/^\p{Greek}1$/"], NONE, NONE).unwrap();
    assert_eq!(allowed(&filter, &["eth0", "größe", "br-0", "λ1", "x2"]), ["eth0", "größe", "λ1"]);
}

#[test]
fn exclusion_wins() {
    let filter = Filter::from_words(&["/^eth/", "/^br-/"], &["eth1", "/^br-1/"], NONE).unwrap();
    let names = ["eth0", "eth-10", "eth11", "br-2", "br-0", "eth1", "br-1", "br-10"];
    assert_eq!(allowed(&filter, &names), ["eth0", "eth-10", "eth11", "br-2", "br-0"]);
    let filter = Filter::from_words(&["lo"], &["lo"], NONE).unwrap();
    assert!(allowed(&filter, &["lo", "eth0"]).is_empty());
}

#[test]
fn name_without_utf8_can_match() {
    let odd = Interface { name: IfName::new(b"eth\xff").unwrap(), ..interface(1, 0, 2, "", None) };
    assert!(Filter::from_words(&["/^eth/"], NONE, NONE).unwrap().allows(&odd));
    assert!(!Filter::from_words(&["eth"], NONE, NONE).unwrap().allows(&odd));
}

#[test]
fn one_matching_address_is_enough() {
    let networks = ["198.51.100.1/32", "2001:db8::1/128", "192.0.2.0/24"];
    let filter = Filter::from_words(NONE, &["lo"], &networks).unwrap();
    for (addresses, expected) in [
        (&["198.51.100.1/24"][..], true),
        (&["198.51.100.2/24"], false),
        (&["2001:db8::1/32", "198.51.100.3/24"], true),
        (&["2001:db8::2/32"], false),
        (&["192.0.2.120/24"], true),
        (&[], false),
    ] {
        assert_eq!(filter.allows(&with_addresses(addresses)), expected, "{addresses:?}");
    }
}

#[test]
fn network_may_have_host_bits() {
    let filter = Filter::from_words(NONE, NONE, &["10.1.2.3/8"]).unwrap();
    assert!(filter.allows(&with_addresses(&["10.200.0.1/24"])));
    assert!(!filter.allows(&with_addresses(&["11.0.0.1/24"])));
}

#[test]
fn names_and_networks_exclude_each_other() {
    for (interfaces, exclude) in [(&["eth0"][..], NONE), (NONE, &["eth1"]), (&["eth0"], &["lo"])] {
        let faults = Filter::from_words(interfaces, exclude, &["10.0.0.0/8"]).unwrap_err();
        assert_eq!(faults.as_slice(), [FilterError::TwoWays]);
    }
}

#[test]
fn all_faults_name_their_entries() {
    let long = "n".repeat(128);
    let interfaces = ["eth0", "eth0", "", "/[/", "/half", &*long];
    let faults = Filter::from_words(&interfaces, NONE, &["10.0.0.1", "10.0.0.0/33", "::/0", "::/0"]).unwrap_err();
    let messages: Vec<_> = faults.into_iter().map(|fault| fault.to_string()).collect();
    let expected = [
        r#""eth0" is in the list twice"#,
        "an entry is empty",
        r#""/[/" is not a valid regular expression"#,
        r#""/half" is not a valid name of an interface"#,
        r#"nnn" is not a valid name of an interface"#,
        r#""10.0.0.1" is not a valid network"#,
        r#""10.0.0.0/33" is not a valid network"#,
        r#""::/0" is in the list twice"#,
        "by name or by address, not by both",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, part) in messages.iter().zip(expected) {
        assert!(message.contains(part), "{message}");
    }
}

/// `ip link show` takes an alternative name for an interface, too.
#[test]
fn alternative_names_are_names() {
    let extras = Extras::new(None, None, ["enp0s3-uplink-port".into()].into());
    let uplink = Interface { extras, ..interface(1, 0, 2, "eth0", None) };
    let allows =
        |interfaces: &[&str], exclude: &[&str]| Filter::from_words(interfaces, exclude, NONE).unwrap().allows(&uplink);
    assert!(allows(&["enp0s3-uplink-port"], NONE) && allows(&["/-uplink-/"], NONE) && allows(&["eth0"], NONE));
    assert!(!allows(NONE, &["enp0s3-uplink-port"]) && !allows(&["eth0"], &["/^enp/"]) && !allows(&["enp0s3"], NONE));
}

fn in_netns(name: Option<&str>, cookie: Option<u64>) -> Interface {
    let place = name.map_or(Place::Host, |name| Place::Named(NetnsName::new(name)));
    let netns = Netns::new(NetnsId(1), place).with_file(NsFile { dev: 4, inode: 4_026_532_461 });
    let netns = netns.with_cookie(cookie.and_then(std::num::NonZeroU64::new));
    Interface { netns: netns.into(), ..interface(1, 0, 2, "eth0", None) }
}

#[test]
fn namespaces_are_chosen_by_name() {
    let allows = |netns: &[&str], exclude: &[&str], name| {
        Filter::everything().with_netns(netns, exclude).unwrap().allows(&in_netns(name, None))
    };
    let (router, pod) = (Some("qrouter-1"), Some("cni-1"));
    assert!(!allows(NONE, &["/^qrouter-/"], router) && allows(NONE, &["/^qrouter-/"], pod));
    assert!(allows(&["qrouter-1"], NONE, router) && !allows(&["qrouter-1"], NONE, pod));
    assert!(!allows(&["qrouter"], NONE, router) && !allows(&["/qrouter/"], &["qrouter-1"], router));
    assert!(!allows(NONE, &["host"], None) && allows(&[" host "], NONE, None) && !allows(&["host"], NONE, pod));
}

#[test]
fn namespaces_are_chosen_by_number() {
    let matches =
        |word: &str, name, cookie| word.parse::<NetnsPattern>().unwrap().matches(&in_netns(name, cookie).netns);
    for word in ["4026532461", "net:[4026532461]"] {
        assert!(matches(word, Some("a"), None) && matches(word, None, None), "{word}");
    }
    assert!(matches("77", Some("77"), None) && matches("77", Some("a"), Some(77)));
    assert!(!matches("77", Some("a"), None) && !matches("net:[77]", Some("a"), Some(77)));
}

#[test]
fn faults_of_namespaces_name_their_entries() {
    let faults = Filter::everything().with_netns(&["a", "a", "run/a"], &["", "/(/"]).unwrap_err();
    let messages: Vec<_> = faults.into_iter().map(|fault| fault.to_string()).collect();
    let expected = [
        "in the list twice",
        r#""run/a" is not a valid name of a network namespace"#,
        "an entry is empty",
        "not a valid regular expression",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    assert!(messages.iter().zip(expected).all(|(message, part)| message.contains(part)), "{messages:#?}");
}

/// A veth with these namespaces of its ends; the peer is named eth0.
fn veth(of: u8, peer: Option<u8>) -> Interface {
    let peer = peer.map(|netns| Box::new(Peer::new(testing::netns(netns), 2, testing::name("eth0"))));
    Interface { peer, ..interface(1, of, 3, "veth1", None) }
}

#[test]
fn only_host_ends_are_excluded() {
    let filter = Filter::default().with_host_ends(HostEnds::Excluded);
    assert!(!filter.allows(&veth(0, Some(1))));
    for other in [veth(1, Some(0)), veth(0, Some(0)), veth(0, None), veth(1, Some(2))] {
        assert!(filter.allows(&other), "{other:?}");
    }
}

/// The namespace around a node of kind has no name in the node, and `eth0` of the node is the node's NIC.
#[test]
fn nic_of_a_nested_node_stays() {
    let around = std::sync::Arc::new(crate::Netns::new(crate::NetnsId(9), crate::Place::Nsid(0)));
    let peer = Some(Box::new(Peer::new(around, 7, testing::name("veth7"))));
    let nic = Interface { peer, ..interface(1, 0, 2, "eth0", None) };
    assert!(Filter::default().with_host_ends(HostEnds::Excluded).allows(&nic));
}

/// A host end whose peer is filtered out is the only end left.
#[test]
fn host_end_without_allowed_peer_stays() {
    let end = veth(0, Some(1));
    let allows = |filter: Filter| filter.with_host_ends(HostEnds::Repeated).allows(&end);
    assert!(!allows(Filter::default()) && !allows(Filter::from_words(NONE, &["lo"], NONE).unwrap()));
    assert!(allows(Filter::from_words(&["/^veth/"], NONE, NONE).unwrap()));
    assert!(allows(Filter::from_words(NONE, &["eth0"], NONE).unwrap()));
    let addressed = Interface { addresses: Box::new(["10.0.0.1/24".parse().unwrap()]), ..end.clone() };
    let by_address = Filter::from_words(NONE, NONE, &["10.0.0.0/8"]).unwrap();
    assert!(by_address.with_host_ends(HostEnds::Repeated).allows(&addressed));
}

struct Named(&'static str);

impl OwnerName for Named {
    fn owner_name(&self) -> std::borrow::Cow<'_, str> {
        self.0.into()
    }
}

#[test]
fn owners_are_chosen_by_name() {
    let allows = |owners: &[&str], exclude: &[&str], owner: Option<&'static str>| {
        let interface = interface(1, 0, 2, "eth0", None).with_owner(owner.map(|name| Named(name).into()));
        Filter::everything().with_owners(owners, exclude).unwrap().allows(&interface)
    };
    let (web, docker) = (Some("shop/web-0"), Some("docker/web"));
    assert!(allows(&["shop/web-0"], NONE, web) && !allows(&["shop/web"], NONE, web));
    assert!(allows(&["shop/*"], NONE, web) && !allows(&["sho/*", "web-0/*"], NONE, web));
    assert!(allows(&["/^docker/"], NONE, docker) && !allows(&["/^web/"], NONE, docker));
    assert!(!allows(&["shop/*"], &["/-0$/"], web) && allows(NONE, &["shop/*"], docker));
    assert!(!allows(&["shop/*"], NONE, None) && allows(NONE, &["shop/*", "//"], None) && allows(NONE, NONE, None));
}

#[test]
fn faults_of_owners_name_their_entries() {
    let exclude = ["", "/(/", "a/b", "a/b"];
    let faults = Filter::everything().with_owners(&["web", "a/b/c", "/b", "a/", "*/*", "a/b*"], &exclude).unwrap_err();
    let messages: Vec<_> = faults.into_iter().map(|fault| fault.to_string()).collect();
    assert_eq!(messages.len(), 9, "{messages:#?}");
    assert!(messages[..6].iter().all(|message| message.contains("is not a valid owner: write shop/web-0")));
    let expected = ["an entry is empty", "not a valid regular expression", "in the list twice"];
    assert!(messages[6..].iter().zip(expected).all(|(message, part)| message.contains(part)), "{messages:#?}");
}
