//! How the program tells what happens: to standard error, text or JSON, an event name a line.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Starts logging; once a process.
///
/// # Errors
/// When logging was started before.
pub fn start(level: LevelFilter, format: LogFormat) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(filter(level));
    match format {
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

/// Everything at this level, and kube's own lines from `debug` on: it warns of each failed request, body included,
/// where the agent says once what failed and what to do.
fn filter(level: LevelFilter) -> Targets {
    let kube = if level < LevelFilter::DEBUG { LevelFilter::OFF } else { level };
    Targets::new().with_default(level).with_target("kube", kube)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn kube_is_heard_only_by_who_debugs() {
        for target in ["kube_client::client", "kube_runtime::watcher"] {
            assert!(!filter(LevelFilter::INFO).would_enable(target, &Level::ERROR));
            assert!(filter(LevelFilter::DEBUG).would_enable(target, &Level::DEBUG));
        }
        assert!(filter(LevelFilter::INFO).would_enable("netns_agent::app", &Level::INFO));
    }
}
