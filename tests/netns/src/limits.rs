//! Time limits, longer on a slow machine.

use std::env;
use std::time::Duration;

/// Factor of all time limits: a whole number; 1 if unset. `tests/kernels.sh` measures the factor of an emulated CPU.
const SLOW: &str = "NETNS_TESTBED_SLOW";

/// The limit on this machine.
pub(crate) fn scaled(limit: Duration) -> Duration {
    limit * env::var(SLOW).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}
