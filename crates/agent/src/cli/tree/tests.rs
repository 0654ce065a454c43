use std::sync::Arc;
use std::time::Duration;

use iface_core::{Extras, IfName, Kind, Lower, LowerPlace, NetnsName, OperState, Parent, Peer, Place};

use super::graph::{Relation, Tree};
use super::render::{self, Lines};
use super::{Args, Format};
use crate::cli::rates::{Flow, Rate, Rates};
use crate::interface::Interface;
use crate::testing::{at, changed, interface, pod, pod_interface};

fn made(number: u64, name: &str, place: Place, kind: Option<&str>) -> Interface {
    let mut made = interface(number, name, place, at(1));
    made.kind = kind.map(Kind::new);
    made
}

fn host(number: u64, name: &str, kind: Option<&str>) -> Interface {
    made(number, name, Place::Host, kind)
}

fn with_master(mut interface: Interface, master: u32) -> Interface {
    interface.master = Some(master);
    interface
}

fn joined(one: &mut Interface, other: &mut Interface) {
    let peer = |of: &Interface| Some(Box::new(Peer::new(of.netns.clone(), of.ifindex, of.name)));
    (one.peer, other.peer) = (peer(other), peer(one));
}

/// Two NICs in a bond in a bridge with two pods, a macvlan of a third pod on a VLAN, and a WireGuard link.
fn node() -> Vec<Arc<Interface>> {
    let nics = [(1, "eth0"), (2, "eth1")].map(|(number, name)| with_master(host(number, name, None), 3));
    let bond = with_master(host(3, "bond0", Some("bond")), 4);
    let bridge = host(4, "br0", Some("bridge"));
    let mut vlan = host(5, "eth0.7", Some("vlan"));
    vlan.extras = Extras::new(Some(Lower::new(1, LowerPlace::Same)), None, Box::default());
    let mut all: Vec<Interface> = [nics.to_vec(), vec![bond, bridge, vlan, host(6, "wg0", Some("wireguard"))]].concat();
    for (number, name) in [(10, "web-0"), (20, "db-0")] {
        let mut inner = Interface::clone(&pod_interface(number, "eth0", &pod(name), at(1)));
        inner.addresses = [format!("10.244.0.{number}/24").parse().unwrap()].into();
        let mut outer = with_master(host(number + 1, &format!("veth{number}"), Some("veth")), 4);
        joined(&mut inner, &mut outer);
        all.extend([outer, inner]);
    }
    let net1 = changed(&pod_interface(30, "net1", &pod("lb-0"), at(1)), |net1| {
        net1.kind = Some(Kind::new("macvlan"));
        net1.oper_state = OperState::Down;
        net1.extras = Extras::new(Some(Lower::new(5, LowerPlace::Host)), None, Box::default());
    });
    all.push(Interface::clone(&net1));
    all.into_iter().map(Arc::new).collect()
}

fn about(pod: &str) -> Args {
    Args {
        pod: Some(pod.into()),
        netns: None,
        output: Format::Text,
        ascii: true,
        rates: false,
        over: Duration::from_secs(1),
    }
}

#[test]
fn node_hangs_below_its_nics() {
    let text = render::text(&Tree::new(&node()), &Rates::new(), Lines::UTF8, false);
    let expected = "\
eth0 up
├─ bond0 up bond (also on eth1)
│  └─ br0 up bridge
│     ├─ veth10 up veth ⇄ cni-web-0/eth0 up veth 10.244.0.10/24 default/web-0
│     └─ veth20 up veth ⇄ cni-db-0/eth0 up veth 10.244.0.20/24 default/db-0
└─ eth0.7 up vlan
   └─ cni-lb-0/net1 down macvlan default/lb-0
eth1 up
wg0 up wireguard
";
    assert_eq!(text, expected);
}

#[test]
fn pod_keeps_its_way_to_the_network() {
    for wanted in ["default/web-0", "web-0"] {
        let args = about(wanted);
        let mut tree = Tree::new(&node());
        tree.keep(|interface| args.chooses(interface));
        let expected = "\
eth0 up
`- bond0 up bond (also on eth1)
   `- br0 up bridge
      `- veth10 up veth <-> cni-web-0/eth0 up veth 10.244.0.10/24 default/web-0
";
        assert_eq!(render::text(&tree, &Rates::new(), Lines::ASCII, false), expected);
    }
    let args = about("other/web-0");
    let mut tree = Tree::new(&node());
    tree.keep(|interface| args.chooses(interface));
    assert!(tree.roots.is_empty());
}

#[test]
fn virtual_function_hangs_on_its_nic() {
    let with_parent = |interface: &mut Interface, device: &str, function: Option<&str>| {
        let mut parent = Parent::new("pci", device);
        parent.physical_function = function.map(Into::into);
        let mut extras = Extras::default();
        extras.parent = Some(Box::new(parent));
        interface.extras = extras.boxed();
    };
    let mut nic = host(1, "eth0", None);
    with_parent(&mut nic, "0000:3b:00.0", None);
    // A second function stays with the host, beside the NIC.
    let mut spare = host(2, "eth0v1", None);
    with_parent(&mut spare, "0000:3b:02.2", Some("0000:3b:00.0"));
    let inner = changed(&pod_interface(30, "net1", &pod("lb-0"), at(1)), |inner| {
        with_parent(inner, "0000:3b:02.1", Some("0000:3b:00.0"));
    });
    let tree = Tree::new(&[Arc::new(nic), Arc::new(spare), inner]);
    let below = tree.walk().find(|node| node.interface.name == "net1").unwrap();
    assert_eq!(tree.parent(below).map(|node| node.interface.name.to_string()), Some("eth0".to_owned()));
    assert_eq!(tree.roots.len(), 2);
}

/// Every interface is in the tree once, whatever the interfaces claim about each other.
#[test]
fn loops_lose_no_interface() {
    let mut ring = [1, 2, 3].map(|number| host(number, &format!("v{number}"), Some("vlan")));
    for (upper, lower) in [(0, 2), (1, 1), (2, 2)] {
        ring[upper].extras = Extras::new(Some(Lower::new(lower, LowerPlace::Same)), None, Box::default());
    }
    ring[2].extras = Extras::new(Some(Lower::new(1, LowerPlace::Same)), None, Box::default());
    let all: Vec<_> = ring.into_iter().map(Arc::new).collect();
    let tree = Tree::new(&all);
    assert_eq!(tree.walk().count(), 3);
    assert_eq!(tree.roots.len(), 1);
}

#[test]
fn deep_chains_end_at_a_limit() {
    let chain = (1..=10_000_u32).map(|number| {
        let mut link = host(u64::from(number), "v", Some("vlan"));
        link.extras = Extras::new(Some(Lower::new(number - 1, LowerPlace::Same)), None, Box::default());
        Arc::new(link)
    });
    let tree = Tree::new(&chain.collect::<Vec<_>>());
    assert_eq!(tree.walk().count(), 10_000);
    assert_eq!(render::text(&tree, &Rates::new(), Lines::UTF8, false).lines().count(), 10_000);
}

/// Between two ends in the same namespace, the port of a bridge is nearer to the network.
#[test]
fn bridge_port_is_above_its_peer() {
    let (mut a, mut b) = (host(1, "a", Some("veth")), with_master(host(2, "b", Some("veth")), 3));
    joined(&mut a, &mut b);
    let all: Vec<_> = [a, b, host(3, "br0", Some("bridge"))].into_iter().map(Arc::new).collect();
    assert_eq!(
        render::text(&Tree::new(&all), &Rates::new(), Lines::UTF8, false),
        "br0 up bridge\n└─ b up veth ⇄ a up veth\n"
    );
}

#[test]
fn json_nests_and_names_relations() {
    let all = node();
    let tree = Tree::new(&all);
    let views = serde_json::to_value(render::views(&tree, &Rates::new())).unwrap();
    assert_eq!(views[0]["interface"]["name"], "eth0");
    let bond = &views[0]["children"][0];
    assert_eq!((&bond["relation"], &bond["also"][0]), (&"master".into(), &2.into()));
    let veth = &bond["children"][0]["children"][0];
    assert_eq!((&veth["relation"], &veth["children"][0]["relation"]), (&"port".into(), &"peer".into()));
    assert!(tree.walk().all(|node| (node.relation == Relation::Root) == tree.parent(node).is_none()));
}

#[test]
fn dot_escapes_names() {
    let mut evil = host(1, "x", None);
    evil.name = IfName::new("a\"];\\\x1b").unwrap();
    let mut other = made(2, "eth0", Place::Named(NetnsName::new("blue")), Some("macvlan"));
    other.extras = Extras::new(Some(Lower::new(1, LowerPlace::Host)), None, Box::default());
    let dot = render::dot(&Tree::new(&[Arc::new(evil), Arc::new(other)]), &Rates::new());
    assert!(dot.contains(r#"n1 [label="a\"];\\x5c\\x1b up"];"#), "{dot}");
    assert!(dot.contains("n1 -- n2 [label=\"upper\"];") && dot.contains("blue/eth0"), "{dot}");
}

/// Each network has a colour, and the last line names the networks; without colours, neither.
#[test]
fn networks_have_colours() {
    let text = render::text(&Tree::new(&node()), &Rates::new(), Lines::UTF8, true);
    assert!(text.contains("\x1b[36mcni-web-0/eth0\x1b[0m \x1b[32mup\x1b[0m"), "{text:?}");
    assert!(text.ends_with("networks: \x1b[36mcbr0\x1b[0m\n") && text.contains("\nwg0 \x1b"), "{text:?}");
    let plain = render::text(&Tree::new(&node()), &Rates::new(), Lines::UTF8, false);
    assert!(!plain.contains('\x1b') && !plain.contains("networks:"), "{plain:?}");
}

#[test]
fn rates_stand_behind_interfaces() {
    let (all, flow) = (node(), |bytes, dropped| Flow { bytes, dropped, ..Flow::default() });
    let rate = Rate { receive: flow(1_200.0, 0.0), transmit: flow(340.0, 3.0) };
    let rates = Rates::from([(all[0].id, rate), (all[5].id, Rate::default())]);
    let tree = Tree::new(&all);
    let text = render::text(&tree, &rates, Lines::UTF8, false);
    assert!(text.starts_with("eth0 up RX 1.2k TX 340 B/s 3 drops/s\n"), "{text}");
    assert!(text.contains("wg0 up wireguard RX 0 TX 0 B/s\n") && text.contains("eth1 up\n"), "{text}");
    assert!(render::dot(&tree, &rates).contains("RX 1.2k TX 340 B/s 3 drops/s\"]"));
    let views = serde_json::to_value(render::views(&tree, &rates)).unwrap();
    assert_eq!(
        (&views[0]["rate"]["receive"]["bytes"], &views[0]["rate"]["transmit"]["dropped"]),
        (&1_200.0.into(), &3.0.into())
    );
    assert!(views[0]["children"][0].get("rate").is_none());
}
