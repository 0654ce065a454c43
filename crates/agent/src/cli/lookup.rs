//! `lookup`: looks up an interface by index and MAC address.

use std::io::Write;
use std::sync::Arc;

use crate::interface::{End, Interface};
use anyhow::anyhow;
use iface_core::MacAddr;

use crate::config::Config;
use crate::json::LookupView;
use crate::lookup::{Query, find};
use crate::pipeline::Pipeline;
use crate::printable::Printable;

/// The flags of `lookup`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Index of the interface (ifindex).
    index: u32,
    /// MAC address, which tells apart interfaces with the same index.
    mac: Option<MacAddr>,
    /// Network namespace of the interface, by name, inode (net:[4026532461] or the number alone), cookie or nsid
    /// (nsid:7); "host" is the host's. The answer is then exact.
    #[arg(long, value_name = "NAME")]
    netns: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Output format of `lookup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

pub(super) const EXAMPLES: &str = "\
Several namespaces can have an interface with the same index. The answer ends
with its confidence: exact, preferred (--preferred-interface-for-mac-prefix) or
guess.

Examples:
  netns-agent lookup 2 0a:58:0a:f4:00:05
  netns-agent lookup 2 --netns blue -o json";

/// Prints the answer to `out`.
///
/// # Errors
/// Where there is no such interface, nothing can be seen, or `out` cannot be written.
pub async fn run(args: &Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::once(config).await?;
    pipeline.settle().await?;
    let query = Query { ifindex: args.index, mac: args.mac, netns: args.netns.clone() };
    let answer = find(pipeline.lookup(), &query).ok_or_else(|| none(args, &pipeline))?;
    match args.output {
        Format::Text => writeln!(out, "{}, {}", line(&answer.interface), answer.confidence.as_str())?,
        Format::Json => {
            serde_json::to_writer(&mut *out, &LookupView::from(&answer))?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn line(interface: &Arc<Interface>) -> String {
    let pod = interface.owner.as_deref().map(|owner| {
        let end = if owner.end() == End::Host { ", the host's end" } else { "" };
        format!("{end} of {owner}")
    });
    Printable(format!("{}/{}{}", interface.netns.place, interface.name, pod.unwrap_or_default())).to_string()
}

fn none(args: &Args, pipeline: &Pipeline) -> anyhow::Error {
    let place = args.netns.as_deref().map(|name| format!(" in {name}")).unwrap_or_default();
    let unseen = pipeline.unseen().map(|unseen| format!(" ({unseen})")).unwrap_or_default();
    anyhow!("no interface has the index {}{place}; `netns-agent list -o wide` shows all{unseen}", args.index)
}
