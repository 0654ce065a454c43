//! Time limits, longer on a slow machine.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Factor of all time limits: a whole number; 1 if unset. `tests/kernels.sh` measures the factor of an emulated CPU.
const SLOW: &str = "NETNS_TESTBED_SLOW";

/// Further factor, for a test that slows down its own process.
static SLOWER: AtomicU32 = AtomicU32::new(1);

/// The limit on this machine.
pub(crate) fn scaled(limit: Duration) -> Duration {
    let slow: u32 = env::var(SLOW).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    limit * slow * SLOWER.load(Ordering::Relaxed)
}

/// Multiplies all limits of this process from now on.
pub(crate) fn slow_down(factor: u32) {
    SLOWER.store(factor, Ordering::Relaxed);
}
