//! `watch`: prints events.

use std::io::Write;
use std::pin::pin;
use std::time::SystemTime;

use crate::interface::{End, Event, Interface};
use futures_util::StreamExt;
use iface_core::{Changes, EventKind};
use jiff::Timestamp;
use netns_scan::EngineKind;

use super::reader;
use super::select::Selectors;
use super::shown::Shown;
use super::terminal::Terminal;
use super::unseen::Unseen;
use super::{print_error, print_unseen};
use crate::config::Config;
use crate::json::EventView;
use crate::pipeline::Pipeline;
use crate::printable::Printable;

/// The flags of `watch`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Output format of `watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One line of text per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// Prints events to `out` until the reader is gone or the watcher ends.
///
/// # Errors
/// Where nothing can be seen, or `out` cannot be written.
pub async fn run(args: &Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start(&args.selectors.asking(config)).await?;
    let mut gone = pin!(reader::gone(std::io::stdout())?);
    let colour = Terminal::detect().colour;
    let mut shown = Shown::default();
    let (mut status_changes, mut unseen) = (pipeline.handle().status_changes(), Unseen::default());
    loop {
        let event = tokio::select! {
            event = pipeline.next() => event?,
            Some(status) = status_changes.next() => {
                // Without an engine, no namespace is seen, and the reason is told once.
                if status.synced && status.engine != EngineKind::Own {
                    unseen.lines(status).iter().for_each(|line| print_error(line));
                }
                continue;
            }
            () = &mut gone => return Ok(()),
        };
        let Some(event) = shown.pass(event, |interface| args.selectors.select(interface)) else { continue };
        let now = SystemTime::now();
        match args.output {
            Format::Text => out.write_all(line(&event, now, colour).as_bytes())?,
            Format::Json => {
                serde_json::to_writer(&mut *out, &EventView::new(&event, now))?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()?;
        if event == Event::Synced && pipeline.handle().status().engine == EngineKind::Own {
            print_unseen(&pipeline);
        }
    }
}

fn line(event: &Event, time: SystemTime, colour: bool) -> String {
    let (on, off) = if colour { (escape(event.kind()), "\x1b[0m") } else { ("", "") };
    // A clock has no time outside of the calendar.
    let time = Timestamp::try_from(time).unwrap_or_default();
    let about = match event {
        Event::Added(interface) => format!("{} {}", place(interface), described(interface)),
        Event::Updated(interface, changes) => format!("{} {}", place(interface), changed(interface, *changes)),
        Event::Deleted(interface, _) => place(interface),
        Event::Synced => "everything that existed at the start is listed above".to_owned(),
    };
    format!("{time:.3} {on}{:<7}{off} {}\n", event.kind(), Printable(&about))
}

fn place(interface: &Interface) -> String {
    format!("{}/{}", interface.netns.place, interface.name)
}

fn described(interface: &Interface) -> String {
    let mut parts = vec![interface.oper_state.to_string()];
    parts.extend(interface.kind.as_ref().map(ToString::to_string));
    parts.extend(interface.mac.map(|mac| mac.to_string()));
    parts.extend(interface.addresses.iter().map(ToString::to_string));
    parts.extend(interface.owner.is_some().then(|| owner(interface)));
    parts.join(" ")
}

fn changed(interface: &Interface, changes: Changes) -> String {
    let peer = || match interface.peer.as_deref() {
        Some(peer) => format!("{}/{}", peer.netns.place, peer.name),
        None => "none".to_owned(),
    };
    let addresses = || {
        let all: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(",") }
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let says: [(Changes, &dyn Fn() -> String); 13] = [
        (Changes::MAC, &|| format!("mac={}", interface.mac.map_or("none".to_owned(), |mac| mac.to_string()))),
        (Changes::MTU, &|| format!("mtu={}", interface.mtu)),
        (Changes::OPER_STATE, &|| format!("state={}", interface.oper_state)),
        (Changes::ADMIN_UP, &|| format!("admin={}", if interface.admin_up { "up" } else { "down" })),
        (Changes::ADDRESSES, &|| format!("addresses={}", addresses())),
        (Changes::PEER, &|| format!("peer={}", peer())),
        (Changes::OWNER, &|| owner(interface)),
        (Changes::MASTER, &|| format!("master={}", or_none(interface.master.map(|master| master.to_string())))),
        (Changes::LOWER, &|| format!("lower={}", or_none(interface.lower().map(|lower| lower.ifindex.to_string())))),
        (Changes::ALIAS, &|| format!("alias={}", or_none(interface.alias().map(ToOwned::to_owned)))),
        (Changes::ALT_NAMES, &|| format!("alt_names={}", interface.alt_names().collect::<Vec<_>>().join(","))),
        (Changes::UNDERLAY, &|| format!("underlay={}", or_none(interface.underlay().map(|it| it.to_string())))),
        (Changes::PARENT, &|| format!("parent={}", or_none(interface.parent().map(ToString::to_string)))),
    ];
    let parts: Vec<_> = says.iter().filter(|(change, _)| changes.contains(*change)).map(|(_, say)| say()).collect();
    parts.join(" ")
}

fn owner(interface: &Interface) -> String {
    match interface.owner.as_deref() {
        Some(owner) => {
            let network = owner.network().map(|network| format!(" network={network}")).unwrap_or_default();
            let end = if owner.end() == End::Host { " end=host" } else { "" };
            let kind = if owner.pod().is_some() { "pod" } else { "container" };
            format!("{kind}={owner}{network}{end}")
        }
        None => "pod=none".to_owned(),
    }
}

fn escape(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "\x1b[32m",
        EventKind::Updated => "\x1b[33m",
        EventKind::Deleted => "\x1b[31m",
        EventKind::Synced => "\x1b[2m",
    }
}

pub(super) const EXAMPLES: &str = "\
Examples:
  netns-agent watch                    existing interfaces, then events
  netns-agent watch -n default eth0    eth0 of the pods of the namespace default
  netns-agent watch -o json | jq -c 'select(.event == \"Deleted\")'";
