//! `top`: interfaces by throughput, refreshed.

mod rates;
mod screen;

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::interface::Interface;
use anyhow::{Context as _, ensure};
use iface_core::InterfaceId;
use netns_scan::Reading;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::rates::{Order, Rate};
use super::select::Selectors;
use super::tell_unseen;
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
}

pub(super) const EXAMPLES: &str = "\
Keys: b, p, d, e sort by bytes, packets, drops, errors; arrows, page up, page
down, home and end scroll; q quits.

Examples:
  netns-agent top -n default             pods of the namespace default
  netns-agent top --netns host           the host's own interfaces
  netns-agent top --refresh 5s -l app=web";

/// State of the screen.
#[derive(Debug, Default)]
struct View {
    /// An interface that was read only once has no rate yet.
    rows: Vec<(Arc<Interface>, Option<Rate>)>,
    order: Order,
    skipped: usize,
}

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
    let mut told = pin!(told_to_end()?);
    let mut terminal = ratatui::try_init().context("cannot take the terminal")?;
    let ended = tokio::select! {
        ended = show(args, &mut pipeline, &mut terminal) => ended,
        () = &mut told => Ok(()),
    };
    ratatui::restore();
    tell_unseen(&pipeline);
    ended
}

/// Returns when a signal asks the program to end; while the terminal is raw, Ctrl-C is none.
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
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
    let mut view = View::default();
    let mut last: Option<(Instant, Vec<Reading>)> = None;
    let mut spare = Vec::new();
    loop {
        tokio::select! {
            event = pipeline.next() => drop(event?),
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if view.quits(key) => return Ok(()),
                Some(_) => view.draw(terminal)?,
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                let now = Instant::now();
                let readings = pipeline.handle().counters(std::mem::take(&mut spare)).await?;
                let rates = match &last {
                    Some((then, before)) => rates::rates(before, &readings, now - *then),
                    None => HashMap::new(),
                };
                let mut interfaces = pipeline.sorted();
                interfaces.retain(|interface| args.selectors.select(interface));
                view.show(interfaces, &rates);
                spare = last.replace((now, readings)).map(|(_, readings)| readings).unwrap_or_default();
                view.draw(terminal)?;
            }
        }
    }
}

/// Rows per page key.
const PAGE: usize = 10;

impl View {
    fn show(&mut self, interfaces: Vec<Arc<Interface>>, rates: &HashMap<InterfaceId, Rate>) {
        let with_rate = |interface: Arc<Interface>| {
            let rate = rates.get(&interface.id).copied();
            (interface, rate)
        };
        self.rows = interfaces.into_iter().map(with_rate).collect();
        self.sort();
    }

    /// Handles a key; returns whether to quit.
    fn quits(&mut self, key: KeyEvent) -> bool {
        if key.kind != KeyEventKind::Press {
            return false;
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('b') => self.order = Order::Bytes,
            KeyCode::Char('p') => self.order = Order::Packets,
            KeyCode::Char('d') => self.order = Order::Dropped,
            KeyCode::Char('e') => self.order = Order::Errors,
            KeyCode::Down => self.skipped += 1,
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped += PAGE,
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            KeyCode::End => self.skipped = usize::MAX,
            _ => {}
        }
        self.sort();
        false
    }

    fn sort(&mut self) {
        // Stable, so that idle interfaces stay where they are.
        let of = |rate: &Option<Rate>| rate.as_ref().map_or(0.0, |rate| self.order.of(rate));
        self.rows.sort_by(|(_, a), (_, b)| of(b).total_cmp(&of(a)));
        self.skipped = self.skipped.min(self.rows.len().saturating_sub(1));
    }

    fn draw(&self, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        terminal.draw(|frame| screen::draw(frame, self)).context("cannot write to the terminal")?;
        Ok(())
    }
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
