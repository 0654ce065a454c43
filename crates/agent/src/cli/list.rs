//! `list`: prints all interfaces once.

use std::io::Write;
use std::sync::Arc;

use crate::interface::{End, Interface, Owner};
use anyhow::{Context as _, bail};
use iface_core::{IfName, Lower, LowerPlace, Place};

use super::select::Selectors;
use super::table::{Cell, Colour, Column, render, tabs};
use super::terminal::Terminal;
use super::{print_error, print_unseen};
use crate::config::Config;
use crate::json::InterfaceView;
use crate::pipeline::Pipeline;
use crate::printable::Printable;

/// The flags of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Print the table without headings.
    #[arg(long)]
    no_headers: bool,
}

/// Output format of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table that fits the terminal.
    Table,
    /// A table of all fields.
    Wide,
    /// An array of objects.
    Json,
    /// An array of objects in YAML.
    Yaml,
    /// NETNS/NAME, one per line.
    Name,
    /// All fields with tabs between them; read the columns by heading.
    Tsv,
}

/// Prints all selected interfaces to `out`.
///
/// # Errors
/// Where interfaces that exist cannot be seen, no interface has one of the names, or `out` cannot be written.
pub async fn run(args: &Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::once(&args.selectors.asking(config)).await?;
    pipeline.settle().await?;
    let mut interfaces = pipeline.sorted();
    interfaces.retain(|interface| args.selectors.select(interface));
    print(args, &interfaces, out)?;
    out.flush()?;
    if pipeline.hides_interfaces() {
        bail!("{}", pipeline.unseen().unwrap_or_default());
    }
    print_unseen(&pipeline);
    // As kubectl: a name that does not exist is an error, selectors that match nothing are not.
    if args.selectors.lack_a_name(&interfaces) {
        bail!("{}", args.selectors.none(&pipeline, &interfaces));
    }
    if interfaces.is_empty() && matches!(args.output, Format::Table | Format::Wide) {
        print_error(&args.selectors.none(&pipeline, &interfaces));
    }
    Ok(())
}

fn print(args: &Args, interfaces: &[Arc<Interface>], out: &mut impl Write) -> anyhow::Result<()> {
    match args.output {
        Format::Table => table(&NARROW, interfaces, args, out),
        Format::Wide | Format::Tsv => table(&WIDE, interfaces, args, out),
        Format::Json => json(interfaces, out),
        Format::Yaml => {
            let views: Vec<_> = interfaces.iter().map(|interface| InterfaceView::from(&**interface)).collect();
            // Unquoted, 10:20:30:40:50:59 is a number to readers of YAML 1.1.
            let options = serde_saphyr::ser_options! { quote_all: true };
            let text = serde_saphyr::to_string_with_options(&views, options).context("cannot write YAML")?;
            Ok(out.write_all(text.as_bytes())?)
        }
        Format::Name => {
            let mut each = interfaces.iter();
            each.try_for_each(|i| Ok(writeln!(out, "{}/{}", place(&i.netns.place), name(i.name))?))
        }
    }
}

fn json(interfaces: &[Arc<Interface>], out: &mut impl Write) -> anyhow::Result<()> {
    out.write_all(b"[")?;
    for (n, interface) in interfaces.iter().enumerate() {
        out.write_all(if n == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &InterfaceView::from(&**interface))?;
    }
    Ok(out.write_all(b"\n]\n")?)
}

type Field = fn(&Interface) -> Cell;

const NARROW: [(Column, Field); 6] =
    [(NETNS, netns), (INTERFACE, interface), (STATE, state), (MAC, mac), (POD, pod), (NETWORK, network)];

const WIDE: [(Column, Field); 18] = [
    (NETNS, netns),
    (INDEX, |i| Cell::new(&i.ifindex.to_string())),
    (INTERFACE, interface),
    (KIND, |i| optional(i.kind.as_ref().map(ToString::to_string))),
    (STATE, state),
    (MTU, |i| Cell::new(&i.mtu.to_string())),
    (MAC, mac),
    (ADDRESSES, addresses),
    (PEER, |i| optional(i.peer.as_ref().map(|peer| format!("{}/{}", peer.netns.place, peer.name)))),
    (MASTER, |i| optional(i.master.map(|master| master.to_string()))),
    (LOWER, |i| optional(i.lower().map(lower))),
    (UNDERLAY, |i| optional(i.underlay().map(|underlay| underlay.to_string()))),
    (PARENT, |i| optional(i.parent().map(ToString::to_string))),
    (ALIASES, aliases),
    (POD, pod),
    (NETWORK, network),
    (SOURCE, source),
    (WORKLOAD, workload),
];

const NETNS: Column = Column { heading: "NETNS", shrinks_to: Some(8) };
const INDEX: Column = Column { heading: "INDEX", shrinks_to: None };
const INTERFACE: Column = Column { heading: "INTERFACE", shrinks_to: None };
const KIND: Column = Column { heading: "KIND", shrinks_to: None };
const STATE: Column = Column { heading: "STATE", shrinks_to: None };
const MTU: Column = Column { heading: "MTU", shrinks_to: None };
// An InfiniBand address is 59 characters wide.
const MAC: Column = Column { heading: "MAC", shrinks_to: Some(17) };
const ADDRESSES: Column = Column { heading: "ADDRESSES", shrinks_to: None };
const PEER: Column = Column { heading: "PEER", shrinks_to: None };
const MASTER: Column = Column { heading: "MASTER", shrinks_to: None };
const LOWER: Column = Column { heading: "LOWER", shrinks_to: None };
const UNDERLAY: Column = Column { heading: "UNDERLAY", shrinks_to: None };
const PARENT: Column = Column { heading: "PARENT", shrinks_to: None };
const ALIASES: Column = Column { heading: "ALIASES", shrinks_to: None };
const POD: Column = Column { heading: "POD", shrinks_to: Some(12) };
const NETWORK: Column = Column { heading: "NETWORK", shrinks_to: Some(7) };
const SOURCE: Column = Column { heading: "SOURCE", shrinks_to: None };
const WORKLOAD: Column = Column { heading: "WORKLOAD", shrinks_to: None };

fn table(
    columns: &[(Column, Field)],
    interfaces: &[Arc<Interface>],
    args: &Args,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut layout = Terminal::detect().layout();
    layout.headers = !args.no_headers;
    if args.output == Format::Wide {
        layout.width = None;
    }
    let rows: Vec<Vec<_>> =
        interfaces.iter().map(|interface| columns.iter().map(|(_, field)| field(interface)).collect()).collect();
    let columns: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
    let text = match args.output {
        Format::Tsv => tabs(&columns, &rows, layout.headers),
        _ => render(&columns, &rows, layout),
    };
    Ok(out.write_all(text.as_bytes())?)
}

fn netns(interface: &Interface) -> Cell {
    Cell::new(&interface.netns.place.to_string())
}

fn interface(interface: &Interface) -> Cell {
    Cell::new(&interface.name.to_string())
}

fn state(interface: &Interface) -> Cell {
    let cell = Cell::new(interface.oper_state.as_str());
    cell.coloured(match (interface.is_up(), interface.admin_up) {
        (true, _) => Colour::Good,
        (false, true) => Colour::Bad,
        (false, false) => Colour::Faint,
    })
}

fn mac(interface: &Interface) -> Cell {
    optional(interface.mac.map(|mac| mac.to_string()))
}

fn addresses(interface: &Interface) -> Cell {
    let texts: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    optional((!texts.is_empty()).then(|| texts.join(",")))
}

/// The ifindex, behind the namespace if the lower interface is in another.
fn lower(lower: Lower) -> String {
    match lower.place {
        LowerPlace::Same => lower.ifindex.to_string(),
        LowerPlace::Host => format!("host/{}", lower.ifindex),
        LowerPlace::Elsewhere => format!("?/{}", lower.ifindex),
    }
}

fn aliases(interface: &Interface) -> Cell {
    let texts: Vec<_> = interface.alias().into_iter().chain(interface.alt_names()).collect();
    optional((!texts.is_empty()).then(|| texts.join(",")))
}

fn pod(interface: &Interface) -> Cell {
    optional(interface.owner.as_deref().map(|owner| {
        let arrow = if owner.end() == End::Host { "→ " } else { "" };
        format!("{arrow}{owner}")
    }))
}

/// The source of the owner, and whether the namespace has outlived the pod.
fn source(interface: &Interface) -> Cell {
    let Some(owner) = &interface.owner else { return optional(None) };
    match &**owner {
        Owner::Pod(pod) if pod.leaked => Cell::new(&format!("{} (leaked)", owner.source())).coloured(Colour::Bad),
        _ => Cell::new(owner.source()),
    }
}

fn network(interface: &Interface) -> Cell {
    optional(interface.owner.as_ref().and_then(|owner| owner.network()).map(ToString::to_string))
}

fn workload(interface: &Interface) -> Cell {
    let workload = interface.owner.as_ref().and_then(|owner| owner.pod()?.workload.as_ref());
    optional(workload.map(|workload| format!("{}/{}", workload.kind.as_str(), workload.name)))
}

fn optional(text: Option<String>) -> Cell {
    text.map_or_else(|| Cell::new("-").coloured(Colour::Faint), |text| Cell::new(&text))
}

fn place(place: &Place) -> String {
    Printable(place).to_string()
}

fn name(name: IfName) -> String {
    Printable(name).to_string()
}

pub(super) const EXAMPLES: &str = "\
An arrow before a pod marks the host's end of the pod's link. The exit code is 1
where some interfaces cannot be seen; those that can are printed all the same.

Examples:
  netns-agent list -n default               pods of the namespace default
  netns-agent list -l app=web net1          a secondary network of some pods
  netns-agent list --netns host -o wide     the host's, with all fields
  netns-agent list --exclude-interfaces ''  loopback interfaces, too
  netns-agent list -o json | jq '.[] | select(.pod.name == \"web-0\")'";
