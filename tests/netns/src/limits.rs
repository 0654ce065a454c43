//! Time limits and numbers of objects of tests on this machine: longer and smaller on a slow one.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Factor of all time limits: a whole number; 1 if unset. `tests/kernels.sh` measures the factor of an emulated CPU.
const SLOW: &str = "NETNS_TESTBED_SLOW";

/// Further factor, for a test that slows down its own process.
static SLOWER: AtomicU32 = AtomicU32::new(1);

/// Factor from which on tests have a tenth of their objects.
const EMULATED: u32 = 4;

/// The limit on this machine.
#[must_use]
pub fn scaled(limit: Duration) -> Duration {
    limit * slow() * SLOWER.load(Ordering::Relaxed)
}

/// The number of objects on this machine: a tenth of `count` on an emulated CPU.
#[must_use]
pub fn fewer(count: usize) -> usize {
    if slow() < EMULATED { count } else { count.div_ceil(10) }
}

fn slow() -> u32 {
    env::var(SLOW).ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Multiplies all limits of this process from now on.
pub(crate) fn slow_down(factor: u32) {
    SLOWER.store(factor, Ordering::Relaxed);
}
