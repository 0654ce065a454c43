//! Reads the configuration again on SIGHUP and when its file changes.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::config::{Config, ConfigSources, process_environment};
use crate::inotify::Watches;

/// The wait from a change to the reload, in which further changes and signals are merged.
const MERGE_TIME: Duration = Duration::from_millis(250);

/// Waits for the next change of the configuration.
pub(super) struct Reload {
    sources: ConfigSources,
    running: Config,
    hangup: Signal,
    /// The end of the merge time of a signal: outlives the cancellation of `next`.
    due: Option<Instant>,
    file: Option<ConfigFile>,
}

/// The configuration file and its content at the last reload.
#[derive(Debug)]
struct ConfigFile {
    path: PathBuf,
    content: Option<Vec<u8>>,
    /// The directories of the file and of the target of its links: a ConfigMap's files are links that change all at
    /// once when the link `..data` is replaced, and editors put a new file in place of the old.
    changes: Watches,
}

impl Reload {
    /// Needs a runtime. `running` is the configuration that the program has started with.
    pub(super) fn new(sources: &ConfigSources, running: &Config) -> anyhow::Result<Self> {
        let hangup = signal(SignalKind::hangup()).context("cannot install a signal handler")?;
        let follow = |file: &Path| ConfigFile::new(file).with_context(|| format!("cannot follow {}", file.display()));
        let file = sources.file.as_deref().map(follow).transpose()?;
        Ok(Self { sources: sources.clone(), running: running.clone(), hangup, due: None, file })
    }

    /// The next valid configuration; the faults of one that is not valid are logged.
    ///
    /// Cancellation loses nothing: a signal that has arrived is remembered.
    pub(super) async fn next(&mut self) -> Config {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => {
                    self.due.get_or_insert_with(|| Instant::now() + MERGE_TIME);
                    continue;
                }
                () = at(self.due) => {}
                () = changed(self.file.as_mut()) => {}
            }
            self.due = None;
            match self.sources.load(&process_environment) {
                Ok(config) => {
                    tracing::info!(
                        event.name = "config.reloaded",
                        "filters, labels and annotations are as configured now"
                    );
                    let restart = config.needs_restart(&self.running);
                    if !restart.is_empty() {
                        let settings = restart.join(", ");
                        tracing::warn!(
                            event.name = "config.restart_needed",
                            settings,
                            "these settings have changed and need a restart"
                        );
                    }
                    return config;
                }
                Err(faults) => {
                    tracing::warn!(event.name = "config.refused", "the configuration stays as it was: {faults}");
                }
            }
        }
    }
}

impl ConfigFile {
    fn new(path: &Path) -> io::Result<Self> {
        let changes = Watches::new()?;
        let file = Self { path: path.to_owned(), content: std::fs::read(path).ok(), changes };
        file.follow(path)?;
        file.follow_target();
        Ok(file)
    }

    /// Follows the directory of this path; a directory that is followed already is not followed twice.
    fn follow(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("."));
        let mask = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
        self.changes.add(directory, mask)?;
        Ok(())
    }

    /// A link without a target is followed by its own directory alone.
    fn follow_target(&self) {
        if let Ok(target) = self.path.canonicalize() {
            let _ = self.follow(&target);
        }
    }

    /// Whether the file has another content than at the last call; other files in its directory change often.
    fn differs(&mut self) -> bool {
        self.follow_target();
        let content = std::fs::read(&self.path).ok();
        let differs = content != self.content;
        self.content = content;
        differs
    }
}

/// Whether a file is complete. A new file is not, until its writer closes it.
fn is_complete(events: &[InotifyEvent]) -> bool {
    events.iter().any(|event| !event.mask.contains(AddWatchFlags::IN_CREATE))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Returns when the content of the file has changed.
async fn changed(file: Option<&mut ConfigFile>) {
    let Some(file) = file else { return std::future::pending().await };
    loop {
        let mut complete = is_complete(&file.changes.events().await);
        // One reading of the file answers all events in the queue.
        while let Some(events) = file.changes.events().now_or_never() {
            complete |= is_complete(&events);
        }
        // A new link is complete at once.
        if (complete || file.path.is_symlink()) && file.differs() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{self, raise};
    use tokio::time::timeout;

    use super::*;

    /// Each event of the pipeline cancels the wait, and events can come faster than the merge time ends.
    #[tokio::test]
    async fn cancelled_wait_keeps_the_signal() {
        let sources = ConfigSources::default();
        let config = sources.load(&|_| None).unwrap();
        let mut reload = Reload::new(&sources, &config).unwrap();
        raise(signal::Signal::SIGHUP).unwrap();
        let reloaded = async { while timeout(MERGE_TIME / 10, reload.next()).await.is_err() {} };
        timeout(Duration::from_secs(30), reloaded).await.unwrap();
    }
}
