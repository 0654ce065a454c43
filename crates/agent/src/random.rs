//! Random numbers to spread pauses; not for secrets.

use std::hash::{BuildHasher as _, RandomState};

/// A number in 0..=1.
#[must_use]
pub fn fraction() -> f64 {
    let number = RandomState::new().hash_one(());
    f64::from(u32::try_from(number >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
