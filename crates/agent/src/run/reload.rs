//! Reads the configuration again on SIGHUP and when its file changes.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use anyhow::Context as _;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigSources, process_environment};

/// Waits for a configuration that is worth reading again.
pub(super) struct Reload {
    sources: ConfigSources,
    hangup: Signal,
    directory: Option<AsyncFd<Directory>>,
}

/// Follows the directory a file is in: a ConfigMap's files are links that change all at once when
/// the directory `..data` is replaced, and editors put a new file in place of the old.
#[derive(Debug)]
struct Directory(Inotify);

impl AsRawFd for Directory {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Reload {
    /// Needs a runtime.
    pub(super) fn new(sources: &ConfigSources) -> anyhow::Result<Self> {
        let hangup = signal(SignalKind::hangup()).context("cannot listen to signals")?;
        let follow = |file: &Path| Directory::of(file).with_context(|| format!("cannot follow {}", file.display()));
        let directory = sources.file.as_deref().map(follow).transpose()?;
        Ok(Self { sources: sources.clone(), hangup, directory })
    }

    /// The next configuration without fault; one with faults is told and the last one stays.
    ///
    /// Cancellation loses nothing that a later change would not bring back.
    pub(super) async fn next(&mut self) -> Config {
        loop {
            tokio::select! {
                hangup = self.hangup.recv() => if hangup.is_none() { std::future::pending().await },
                () = changed(self.directory.as_ref()) => {}
            }
            match self.sources.load(&process_environment) {
                Ok(config) => {
                    tracing::info!(
                        event.name = "config.reloaded",
                        "filters, labels and annotations are as configured now"
                    );
                    return config;
                }
                Err(faults) => {
                    tracing::warn!(event.name = "config.refused", "the configuration stays as it was: {faults}")
                }
            }
        }
    }
}

impl Directory {
    fn of(file: &Path) -> io::Result<AsyncFd<Self>> {
        let directory = file.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("."));
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(directory, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
        #[expect(deprecated, reason = "its successor is unsafe, and `Directory` owns the descriptor that it names")]
        AsyncFd::new(Self(inotify))
    }

    /// Reads all that happened; whether there was anything.
    fn drain(&self) -> bool {
        let mut any = false;
        while self.0.read_events().is_ok_and(|events| !events.is_empty()) {
            any = true;
        }
        any
    }
}

/// Returns when something in the directory changed.
async fn changed(directory: Option<&AsyncFd<Directory>>) {
    let Some(directory) = directory else { return std::future::pending().await };
    while let Ok(mut readable) = directory.readable().await {
        let any = readable.get_inner().drain();
        readable.clear_ready();
        if any {
            return;
        }
    }
}
