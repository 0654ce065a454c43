//! What receivers get: a real one (rotel) for what should work, one of the tests' own for faults.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod certificates;
mod faults;
mod faulty;
mod made;
mod sizes;
mod works;
