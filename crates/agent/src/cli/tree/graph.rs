//! From interfaces to a tree whose roots are nearest to the network. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::interface::Interface;
use iface_core::{LowerPlace, NetnsId};

/// Deepest level of the tree; an interface below becomes a root. A pod can chain any number of interfaces of its own.
const DEPTH: usize = 64;

/// Kinds that are ports of a bridge, never uplinks of a bridge, unless their peer is nearer to the network.
const PORTS: [&str; 4] = ["veth", "netkit", "vxcan", "tun"];

/// Relation of an interface to the parent in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// No parent.
    Root,
    /// The parent is the bridge, bond or VRF of the interface.
    Port,
    /// The interface is the bridge, bond or VRF of the parent.
    Master,
    /// The interface is a VLAN, macvlan, ipvlan or tunnel on the parent.
    Upper,
    /// The parent is the other end of the veth.
    Peer,
}

impl Relation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Port => "port",
            Self::Master => "master",
            Self::Upper => "upper",
            Self::Peer => "peer",
        }
    }
}

/// An interface in the tree.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) interface: Arc<Interface>,
    pub(super) relation: Relation,
    /// Further interfaces on the way to the network, such as the second member of a bond.
    pub(super) also: Vec<usize>,
    pub(super) children: Vec<usize>,
    parent: Option<usize>,
}

/// All interfaces with their places in the tree.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) roots: Vec<usize>,
}

type Key = (NetnsId, u32);

/// Indices that answer questions about neighbours.
struct Neighbours<'a> {
    interfaces: &'a [Arc<Interface>],
    by_key: BTreeMap<Key, usize>,
    members: BTreeMap<Key, Vec<usize>>,
    /// The host's PCI devices, by their address.
    functions: BTreeMap<&'a str, usize>,
    host: Option<NetnsId>,
}

impl Tree {
    /// The tree of these interfaces, in their order on each level.
    pub(super) fn new(interfaces: &[Arc<Interface>]) -> Self {
        let neighbours = Neighbours::new(interfaces);
        let node = |interface: &Arc<Interface>| Node {
            interface: interface.clone(),
            relation: Relation::Root,
            also: Vec::new(),
            children: Vec::new(),
            parent: None,
        };
        let mut tree = Self { nodes: interfaces.iter().map(node).collect(), roots: Vec::new() };
        let mut levels = vec![0; interfaces.len()];
        for at in 0..interfaces.len() {
            let (relation, nearer) = neighbours.nearer(at);
            let parent = nearer.iter().position(|parent| tree.may_hang(at, *parent));
            if let Some(&parent) = parent.and_then(|n| nearer.get(n)) {
                tree.nodes[at].parent = Some(parent);
                tree.nodes[at].relation = relation;
                tree.nodes[at].also = nearer.into_iter().filter(|other| *other != parent).collect();
            }
        }
        for at in tree.roots_first() {
            let parent = tree.nodes[at].parent.filter(|parent| levels[*parent] < DEPTH);
            match parent {
                Some(parent) => {
                    levels[at] = levels[parent] + 1;
                    tree.nodes[parent].children.push(at);
                }
                None => {
                    (tree.nodes[at].parent, tree.nodes[at].relation) = (None, Relation::Root);
                    tree.roots.push(at);
                }
            }
        }
        tree.sort();
        tree
    }

    /// Whether the parent does not hang below the interface.
    fn may_hang(&self, at: usize, parent: usize) -> bool {
        std::iter::successors(Some(parent), |above| self.nodes[*above].parent).all(|above| above != at)
    }

    /// All nodes, parents before their children.
    fn roots_first(&self) -> Vec<usize> {
        let mut below: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            below.entry(node.parent).or_default().push(at);
        }
        let mut order = below.remove(&None).unwrap_or_default();
        let mut next = 0;
        while let Some(&at) = order.get(next) {
            order.extend(below.remove(&Some(at)).unwrap_or_default());
            next += 1;
        }
        order
    }

    fn sort(&mut self) {
        self.roots.sort_unstable();
        self.nodes.iter_mut().for_each(|node| node.children.sort_unstable());
    }

    /// Keeps the chosen interfaces, with everything between them and the network.
    pub(super) fn keep(&mut self, chosen: impl Fn(&Interface) -> bool) {
        let mut kept = BTreeSet::new();
        for at in 0..self.nodes.len() {
            if chosen(&self.nodes[at].interface) {
                let way = std::iter::successors(Some(at), |above| self.nodes[*above].parent);
                kept.extend(way.take_while(|above| !kept.contains(above)).collect::<Vec<_>>());
            }
        }
        self.roots.retain(|root| kept.contains(root));
        self.nodes.iter_mut().for_each(|node| node.children.retain(|child| kept.contains(child)));
    }

    /// Every node that is kept, parents before their children.
    pub(super) fn walk(&self) -> impl Iterator<Item = &Node> {
        let mut stack: Vec<usize> = self.roots.iter().rev().copied().collect();
        std::iter::from_fn(move || {
            let node = self.nodes.get(stack.pop()?)?;
            stack.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// The parent of a node.
    pub(super) fn parent(&self, node: &Node) -> Option<&Node> {
        node.parent.and_then(|parent| self.nodes.get(parent))
    }
}

impl<'a> Neighbours<'a> {
    fn new(interfaces: &'a [Arc<Interface>]) -> Self {
        let each = || interfaces.iter().enumerate();
        let by_key = each().map(|(at, interface)| ((interface.netns.id, interface.ifindex), at)).collect();
        let mut members: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (at, interface) in each() {
            if let Some(master) = interface.master {
                members.entry((interface.netns.id, master)).or_default().push(at);
            }
        }
        let host = interfaces.iter().find(|interface| interface.netns.is_host()).map(|interface| interface.netns.id);
        let on_pci = |interface: &'a Interface| interface.parent().filter(|parent| &*parent.bus == "pci");
        let of_host = each().filter(|(_, interface)| interface.netns.is_host());
        let functions = of_host.filter_map(|(at, interface)| Some((&*on_pci(interface)?.device, at))).collect();
        Self { interfaces, by_key, members, functions, host }
    }

    /// The interfaces one step nearer to the network, the first of them as parent.
    fn nearer(&self, at: usize) -> (Relation, Vec<usize>) {
        let interface = &*self.interfaces[at];
        let peer = self.peer(at);
        if let Some(peer) = peer.filter(|_| self.is_inner_end(at)) {
            return (Relation::Peer, vec![peer]);
        }
        if let Some(lower) = self.lower(interface).or_else(|| self.physical_function(interface)) {
            return (Relation::Upper, vec![lower]);
        }
        let master = interface.master.and_then(|master| self.by_key.get(&(interface.netns.id, master)).copied());
        if let Some(master) = master.filter(|_| !self.is_uplink(at)) {
            return (Relation::Port, vec![master]);
        }
        let members = self.members.get(&(interface.netns.id, interface.ifindex));
        let uplinks: Vec<_> = members.into_iter().flatten().copied().filter(|member| self.is_uplink(*member)).collect();
        if !uplinks.is_empty() {
            return (Relation::Master, uplinks);
        }
        let is_second = |peer: &usize| master.is_none() && (self.interfaces[*peer].master.is_some() || *peer < at);
        (Relation::Peer, peer.filter(is_second).into_iter().collect())
    }

    fn peer(&self, at: usize) -> Option<usize> {
        let peer = self.interfaces[at].peer.as_deref()?;
        self.by_key.get(&(peer.netns.id, peer.ifindex)).copied()
    }

    /// Whether the peer is in the host's namespace and the interface is not.
    fn is_inner_end(&self, at: usize) -> bool {
        let interface = &self.interfaces[at];
        !interface.netns.is_host() && interface.peer.as_ref().is_some_and(|peer| peer.netns.is_host())
    }

    /// Whether a bridge reaches the network through the interface.
    fn is_uplink(&self, at: usize) -> bool {
        let kind = self.interfaces[at].kind.as_ref();
        self.is_inner_end(at) || kind.is_none_or(|kind| !PORTS.contains(&kind.as_str()))
    }

    /// The NIC that a virtual function in another namespace is a part of.
    fn physical_function(&self, interface: &Interface) -> Option<usize> {
        let function = interface.parent()?.physical_function.as_deref()?;
        self.functions.get(function).copied().filter(|_| !interface.netns.is_host())
    }

    fn lower(&self, interface: &Interface) -> Option<usize> {
        let lower = interface.lower()?;
        let netns = match lower.place {
            LowerPlace::Same => interface.netns.id,
            LowerPlace::Host => self.host?,
            LowerPlace::Elsewhere => return None,
        };
        self.by_key.get(&(netns, lower.ifindex)).copied()
    }
}
