//! OTLP exports to a real receiver (rotel), and to a receiver with scripted faults.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod certificates;
mod faults;
mod faulty;
mod made;
mod proxied;
mod sizes;
mod works;
