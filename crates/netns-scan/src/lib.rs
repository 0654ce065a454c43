//! Finds every network interface in every network namespace of a Linux host.
