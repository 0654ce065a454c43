//! Pauses between attempts at a directory, name or namespace that failed.

use std::time::Duration;

/// The first pause, and the longest.
pub(crate) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The pause after one more failure: twice as long, up to the longest.
pub(crate) fn longer(pause: Duration) -> Duration {
    (pause * 2).min(RETRY.1)
}
