//! How the program tells what happens: to standard error, text or JSON, an event name a line.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Starts logging, at the `usual` level unless the user says another; once a process.
///
/// # Errors
/// When logging was started before.
pub fn start(log: Log, usual: LevelFilter) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(log.level.unwrap_or(usual));
    match log.format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false)).try_init()?;
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?;
        }
    }
    Ok(())
}
