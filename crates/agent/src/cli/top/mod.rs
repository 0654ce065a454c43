//! `top`: interfaces by throughput, refreshed.

#[cfg(test)]
mod picture;
mod screen;
mod view;

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use netns_scan::Reading;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::view::{By, View};
use super::print_unseen;
use super::rates::rates;
use super::select::Selectors;
use super::terminal::{colour_allowed, is_utf8};
use crate::config::{Config, duration};
use crate::pipeline::Pipeline;

/// The flags of `top`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Time from one reading to the next.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    refresh: Duration,
    /// Content of a row.
    #[arg(long, value_enum, default_value_t = By::Interface)]
    by: By,
}

pub(super) const EXAMPLES: &str = "\
Keys: b, p, d, e sort by bytes, packets, drops, errors; g groups by pod; arrows,
page up, page down, home and end scroll; ? shows the keys; q quits. The last
line has the sums of all interfaces in pods, and of the node's NICs.

Examples:
  netns-agent top -n default             pods of the namespace default
  netns-agent top --by pod               a row per pod
  netns-agent top --netns host           the host's own interfaces
  netns-agent top --refresh 5s -l app=web";

/// Shows rates until the user quits.
///
/// # Errors
/// Where standard output is no terminal, or nothing can be seen.
pub async fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    ensure!(
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal(),
        "top needs a terminal; `netns-agent list` and `netns-agent watch` write to files and pipes"
    );
    let mut pipeline = Pipeline::start(&args.selectors.asking(config)).await?;
    pipeline.settle().await?;
    // Before the terminal is in raw mode, so that a failure leaves no raw terminal behind.
    let mut end = pin!(end_signal()?);
    let mut terminal = ratatui::try_init().context("cannot take the terminal")?;
    let ended = tokio::select! {
        ended = show(args, &mut pipeline, &mut terminal) => ended,
        () = &mut end => Ok(()),
    };
    ratatui::restore();
    print_unseen(&pipeline);
    ended
}

/// Returns when a signal asks the program to end; while the terminal is raw, Ctrl-C is none.
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

async fn show(args: &Args, pipeline: &mut Pipeline, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    let mut inputs = inputs()?;
    let mut ticks = interval(args.refresh);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View { by: args.by, colour: colour_allowed(), utf8: is_utf8(), ..View::default() };
    let mut last: Option<(Instant, Vec<Reading>)> = None;
    let mut spare = Vec::new();
    loop {
        tokio::select! {
            event = pipeline.next() => drop(event?),
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if view.quits(key) => return Ok(()),
                Some(_) => draw(&view, terminal)?,
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                let now = Instant::now();
                let readings = pipeline.handle().counters(std::mem::take(&mut spare)).await?;
                let rates = last.as_ref().map(|(then, before)| rates(before, &readings, now - *then));
                let mut interfaces = pipeline.sorted();
                interfaces.retain(|interface| args.selectors.select(interface));
                view.show(interfaces, rates);
                spare = last.replace((now, readings)).map(|(_, readings)| readings).unwrap_or_default();
                draw(&view, terminal)?;
            }
        }
    }
}

fn draw(view: &View, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    terminal.draw(|frame| screen::draw(frame, view)).context("cannot write to the terminal")?;
    Ok(())
}

/// Keys typed by the user. Reading a terminal blocks, so a thread reads it and ends with the process.
fn inputs() -> anyhow::Result<mpsc::Receiver<Input>> {
    let (sender, receiver) = mpsc::channel(16);
    thread::Builder::new()
        .name("keyboard".into())
        .spawn(move || {
            while let Ok(input) = event::read() {
                if sender.blocking_send(input).is_err() {
                    return;
                }
            }
        })
        .context("cannot start a thread for the keyboard")?;
    Ok(receiver)
}

#[cfg(test)]
mod tests;
