//! The program that runs on a node: everything is built here, supervised and ended in order.

use iface_core::Event;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Sources};
use crate::pipeline::Pipeline;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When something it cannot go on without fails or ends.
pub async fn run(_sources: &Sources, config: &Config) -> anyhow::Result<()> {
    let mut pipeline = Pipeline::start(config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            event = pipeline.next() => log(&event?),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    Ok(())
}

/// One line for what happened.
fn log(event: &Event) {
    let Some(interface) = event.interface() else { return };
    let (netns, name) = (&interface.netns.place, interface.name);
    match event {
        Event::Added(_) => tracing::info!(event.name = "interface.added", %netns, interface = %name, "added"),
        Event::Updated(_, changes) => {
            tracing::info!(event.name = "interface.updated", %netns, interface = %name, ?changes, "updated");
        }
        Event::Deleted(_) => tracing::info!(event.name = "interface.deleted", %netns, interface = %name, "deleted"),
        Event::Synced => {}
    }
}
