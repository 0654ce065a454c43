//! `tree`: prints the way from the network to each interface.

mod graph;
mod render;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep_until};

use self::graph::Tree;
use self::render::Lines;
use super::print_unseen;
use super::rates::{Rates, rates};
use super::terminal::{Terminal, is_utf8};
use crate::config::{Config, duration};
use crate::interface::{End, Interface, Owner};
use crate::pipeline::Pipeline;

/// The flags of `tree`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only the way from the interfaces of this pod to the network.
    #[arg(value_name = "[NAMESPACE/]POD")]
    pod: Option<String>,
    /// Only the way from this network namespace to the network; "host" is the host's.
    #[arg(long, value_name = "NAME", conflicts_with = "pod")]
    netns: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Draw with ASCII characters only, the default where the locale is not UTF-8.
    #[arg(long)]
    ascii: bool,
    /// Show the throughput of each interface, read twice.
    #[arg(long)]
    rates: bool,
    /// Time between the two readings of --rates.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    over: Duration,
}

/// Output format of `tree`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines of text.
    Text,
    /// Nested objects.
    Json,
    /// A graph for Graphviz.
    Dot,
}

pub(super) const EXAMPLES: &str = "\
Each line hangs below the interface that is one step nearer to the network; an
arrow leads from an end of a veth to the other end, often in a pod. On a
terminal, each CNI network has a colour, and the last line names the networks.

Examples:
  netns-agent tree                  the whole node
  netns-agent tree shop/web-0       the way of a pod's packets
  netns-agent tree --netns blue     the same for a namespace
  netns-agent tree --rates          with bytes received and sent per second
  netns-agent tree -o dot | dot -Tsvg > node.svg";

/// Prints the tree to `out`.
///
/// # Errors
/// Where interfaces that exist cannot be seen, nothing matches, or `out` cannot be written.
pub async fn run(args: &Args, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start(config).await?;
    pipeline.settle().await?;
    let rates = if args.rates { measure(&mut pipeline, args.over).await? } else { Rates::new() };
    let mut tree = Tree::new(&pipeline.sorted());
    if let Some(subject) = args.pod.as_ref().or(args.netns.as_ref()) {
        tree.keep(|interface| args.chooses(interface));
        if tree.roots.is_empty() {
            print_unseen(&pipeline);
            bail!("no interface belongs to {subject}");
        }
    }
    match args.output {
        Format::Text => {
            let lines = if args.ascii || !is_utf8() { Lines::ASCII } else { Lines::UTF8 };
            out.write_all(render::text(&tree, &rates, lines, Terminal::detect().colour).as_bytes())?;
        }
        Format::Json => {
            serde_json::to_writer(&mut *out, &render::views(&tree, &rates))?;
            out.write_all(b"\n")?;
        }
        Format::Dot => out.write_all(render::dot(&tree, &rates).as_bytes())?,
    }
    out.flush()?;
    if pipeline.hides_interfaces() {
        bail!("{}", pipeline.unseen().unwrap_or_default());
    }
    print_unseen(&pipeline);
    Ok(())
}

/// Reads all counters twice, and follows events meanwhile.
async fn measure(pipeline: &mut Pipeline, over: Duration) -> anyhow::Result<Rates> {
    let before = pipeline.handle().counters(Vec::new()).await?;
    let began = Instant::now();
    let mut end = pin!(sleep_until(began + over));
    loop {
        tokio::select! {
            event = pipeline.next() => drop(event?),
            () = &mut end => break,
        }
    }
    let now = pipeline.handle().counters(Vec::new()).await?;
    Ok(rates(&before, &now, began.elapsed()))
}

impl Args {
    fn chooses(&self, interface: &Interface) -> bool {
        let owner = interface.owner.as_deref().filter(|owner| owner.end() == End::Pod);
        let is_pod = |wanted: &str| {
            let text = owner.map(Owner::to_string);
            let name = text.as_deref().map(|text| text.split_once('/').map_or(text, |(_, name)| name));
            text.as_deref() == Some(wanted) || name == Some(wanted)
        };
        self.pod.as_deref().is_some_and(is_pod)
            || self.netns.as_ref().is_some_and(|wanted| interface.netns.place.to_string() == *wanted)
    }
}
