//! A tree as text, as JSON and as a graph for Graphviz. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::cli::rates::{Rate, Rates, short};
use crate::cli::table::Colour;
use crate::interface::{End, Interface};
use crate::json::InterfaceView;
use crate::printable::Printable;
use serde::Serialize;

use super::graph::{Node, Relation, Tree};

/// Lines and arrows between interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    branch: &'static str,
    last: &'static str,
    beside: &'static str,
    peer: &'static str,
}

impl Lines {
    pub(super) const UTF8: Self = Self { branch: "├─ ", last: "└─ ", beside: "│  ", peer: " ⇄ " };
    pub(super) const ASCII: Self = Self { branch: "|- ", last: "`- ", beside: "|  ", peer: " <-> " };
}

/// Colours of networks, apart from those of states. Further networks begin again.
const PALETTE: [&str; 6] = ["\x1b[36m", "\x1b[35m", "\x1b[33m", "\x1b[34m", "\x1b[96m", "\x1b[95m"];
const PLAIN: &str = "\x1b[0m";

/// The tree as lines of text, each ended; with colours, a last line names the networks.
pub(super) fn text(tree: &Tree, rates: &Rates, lines: Lines, colour: bool) -> String {
    let networks = if colour { networks(tree) } else { BTreeMap::new() };
    let mut text = Text { tree, rates, lines, colour, networks, out: String::new() };
    for root in &tree.roots {
        text.line(*root, "", "", true);
    }
    text.legend();
    text.out
}

/// The networks in the tree with their colours.
fn networks(tree: &Tree) -> BTreeMap<String, &'static str> {
    let names: BTreeSet<_> = tree.walk().filter_map(|node| network(&node.interface)).map(str::to_owned).collect();
    names.into_iter().zip(PALETTE.into_iter().cycle()).collect()
}

fn network(interface: &Interface) -> Option<&str> {
    interface.owner.as_deref()?.network().map(|name| &**name)
}

struct Text<'a> {
    tree: &'a Tree,
    rates: &'a Rates,
    lines: Lines,
    colour: bool,
    networks: BTreeMap<String, &'static str>,
    out: String,
}

impl Text<'_> {
    /// One line for the interface, with the only peer behind the arrow, then one for each interface below.
    fn line(&mut self, at: usize, indent: &str, branch: &str, last: bool) {
        let Some(mut node) = self.tree.nodes.get(at) else { return };
        self.out.extend([indent, branch]);
        self.label(node);
        while let [child] = node.children[..]
            && let Some(peer) = self.tree.nodes.get(child).filter(|child| child.relation == Relation::Peer)
        {
            self.out.push_str(self.lines.peer);
            self.label(peer);
            node = peer;
        }
        self.out.push('\n');
        let indent = match (branch.is_empty(), last) {
            (true, _) => String::new(),
            (false, true) => format!("{indent}   "),
            (false, false) => format!("{indent}{}", self.lines.beside),
        };
        for (n, child) in node.children.iter().enumerate() {
            let last = n + 1 == node.children.len();
            self.line(*child, &indent, if last { self.lines.last } else { self.lines.branch }, last);
        }
    }

    fn label(&mut self, node: &Node) {
        let (interface, also) = (&*node.interface, &node.also);
        let parent = self.tree.parent(node).map(|parent| &*parent.interface);
        let network = network(interface).and_then(|name| self.networks.get(name)).copied();
        self.out.push_str(network.unwrap_or_default());
        self.write(&name(interface, parent));
        self.out.push_str(network.map_or("", |_| PLAIN));
        let state = match (interface.is_up(), interface.admin_up) {
            (true, _) => Colour::Good,
            (false, true) => Colour::Bad,
            (false, false) => Colour::Faint,
        };
        self.out.push(' ');
        match self.colour {
            true => self.out.extend([state.escape(), interface.oper_state.as_str(), PLAIN]),
            false => self.out.push_str(interface.oper_state.as_str()),
        }
        for detail in details(interface).chain(self.rates.get(&interface.id).map(throughput)) {
            self.out.push(' ');
            self.write(&detail);
        }
        let also: Vec<_> =
            also.iter().filter_map(|at| self.tree.nodes.get(*at)).map(|node| node.interface.name.to_string()).collect();
        if !also.is_empty() {
            self.write(&format!(" (also on {})", also.join(", ")));
        }
    }

    fn legend(&mut self) {
        let networks = std::mem::take(&mut self.networks);
        for (n, (name, colour)) in networks.iter().enumerate() {
            self.out.push_str(if n == 0 { "networks: " } else { " " });
            self.out.push_str(colour);
            self.write(name);
            self.out.push_str(PLAIN);
        }
        self.out.push_str(if networks.is_empty() { "" } else { "\n" });
    }

    fn write(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{}", Printable(text));
    }
}

/// The name, behind the namespace where the parent is in another.
fn name(interface: &Interface, parent: Option<&Interface>) -> String {
    let netns = &interface.netns;
    let is_known = match parent {
        Some(parent) => parent.netns.id == netns.id,
        None => netns.is_host(),
    };
    if is_known { interface.name.to_string() } else { format!("{}/{}", netns.place, interface.name) }
}

/// Kind, addresses, and the pod inside of a pod's namespace.
fn details(interface: &Interface) -> impl Iterator<Item = String> {
    let kind = interface.kind.as_ref().map(ToString::to_string);
    let addresses = interface.addresses.iter().map(ToString::to_string);
    let owner = interface.owner.as_deref().filter(|owner| owner.end() == End::Pod);
    let pod = owner.map(ToString::to_string);
    kind.into_iter().chain(addresses).chain(pod)
}

/// Bytes per second, and losses if there are any.
fn throughput(rate: &Rate) -> String {
    let bytes = format!("RX {} TX {} B/s", short(rate.receive.bytes), short(rate.transmit.bytes));
    if rate.dropped() >= 0.5 { format!("{bytes} {} drops/s", short(rate.dropped())) } else { bytes }
}

/// An interface with the interfaces below; the rate is there if it was asked for and the interface was read twice.
#[derive(Debug, Serialize)]
pub(super) struct NodeView<'a> {
    relation: &'static str,
    also: Vec<u64>,
    interface: InterfaceView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    children: Vec<NodeView<'a>>,
}

/// The roots with everything below, for JSON.
pub(super) fn views<'a>(tree: &'a Tree, rates: &Rates) -> Vec<NodeView<'a>> {
    views_of(tree, rates, &tree.roots)
}

fn views_of<'a>(tree: &'a Tree, rates: &Rates, these: &[usize]) -> Vec<NodeView<'a>> {
    let nodes = these.iter().filter_map(|at| tree.nodes.get(*at));
    let view = |node: &'a Node| NodeView {
        relation: node.relation.as_str(),
        also: node.also.iter().filter_map(|at| tree.nodes.get(*at)).map(|also| also.interface.id.0.get()).collect(),
        interface: InterfaceView::from(&*node.interface),
        rate: rates.get(&node.interface.id).copied(),
        children: views_of(tree, rates, &node.children),
    };
    nodes.map(view).collect()
}

/// The tree in the language of Graphviz.
pub(super) fn dot(tree: &Tree, rates: &Rates) -> String {
    let mut out = "graph node {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for node in tree.walk() {
        let interface = &node.interface;
        let mut label = vec![name(interface, None), interface.oper_state.to_string()];
        label.extend(details(interface).chain(rates.get(&interface.id).map(throughput)));
        let style = if interface.is_up() { "" } else { ", style=dashed" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  n{} [label=\"{}\"{style}];", interface.id.0, quoted(&label.join(" ")));
        let others = node.also.iter().filter_map(|at| tree.nodes.get(*at));
        for parent in tree.parent(node).into_iter().chain(others) {
            let (parent, relation) = (parent.interface.id.0, node.relation.as_str());
            let _ = writeln!(out, "  n{parent} -- n{} [label=\"{relation}\"];", interface.id.0);
        }
    }
    out.push_str("}\n");
    out
}

/// The text between quotes of Graphviz: printable, with quotes and backslashes escaped.
fn quoted(text: &str) -> String {
    Printable(text).to_string().replace('\\', "\\\\").replace('"', "\\\"")
}
