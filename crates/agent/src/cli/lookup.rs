//! `lookup`: which interface has this number.

use std::io::Write;
use std::sync::Arc;

use crate::interface::{End, Interface};
use anyhow::anyhow;
use iface_core::MacAddr;
use serde::Serialize;

use super::table::printable;
use crate::admin::Wanted;
use crate::config::Config;
use crate::json::InterfaceView;
use crate::pipeline::{Pipeline, find};

/// The flags of `lookup`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The interface's number.
    index: u32,
    /// Its link-layer address, which tells it from others with the same number.
    mac: Option<MacAddr>,
    /// The name of its network namespace, or "host"; the answer is exact then.
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// How `lookup` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for people.
    Text,
    /// An object.
    Json,
}

pub(super) const EXAMPLES: &str = "\
Several namespaces can have an interface with the same number. The answer says
how sure it is: exact, preferred (by --preferred-interface-for-mac-prefix) or
guess.

Examples:
  netns-agent lookup 2 0a:58:0a:f4:00:05
  netns-agent lookup 2 --netns blue -o json";

#[derive(Serialize)]
struct Answer<'a> {
    certainty: &'static str,
    interface: InterfaceView<'a>,
}

/// Prints the answer to `out`.
///
/// # Errors
/// Where there is no such interface, nothing can be seen, or `out` cannot be written.
pub async fn run(args: &Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start(config).await?;
    pipeline.settle().await?;
    let wanted = Wanted { ifindex: args.index, mac: args.mac, netns: args.netns.clone() };
    let found = find(pipeline.lookup(), &wanted).ok_or_else(|| none(args, &pipeline))?;
    match args.output {
        Format::Text => writeln!(out, "{}, {}", line(&found.interface), found.certainty)?,
        Format::Json => {
            let interface = InterfaceView::from(&*found.interface);
            serde_json::to_writer(&mut *out, &Answer { certainty: found.certainty, interface })?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn line(interface: &Arc<Interface>) -> String {
    let pod = interface.owner.as_deref().map(|owner| {
        let end = if owner.end == End::Host { ", the host's end" } else { "" };
        format!("{end} of {}/{}", owner.pod.namespace, owner.pod.name)
    });
    printable(&format!("{}/{}{}", interface.netns.place, interface.name, pod.unwrap_or_default()))
}

fn none(args: &Args, pipeline: &Pipeline) -> anyhow::Error {
    let place = args.netns.as_deref().map(|name| format!(" in {name}")).unwrap_or_default();
    let unseen = pipeline.unseen().map(|unseen| format!(" ({unseen})")).unwrap_or_default();
    anyhow!("no interface has the number {}{place}; `netns-agent list -o wide` shows all{unseen}", args.index)
}
