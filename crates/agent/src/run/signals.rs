//! Keeps SIGHUP pending from the start of the program until its handler is installed.

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

fn hangup() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGHUP);
    set
}

/// Blocks SIGHUP in this thread and in all that it starts; a signal that arrives stays pending.
pub fn block() {
    // `pthread_sigmask(3)` fails for wrong arguments only.
    let _ = hangup().thread_block();
}

/// Delivers SIGHUP again, the pending one first.
///
/// # Errors
/// Never in practice: `pthread_sigmask(3)` fails for wrong arguments only.
pub fn unblock() -> anyhow::Result<()> {
    hangup().thread_unblock().context("cannot unblock SIGHUP")
}
