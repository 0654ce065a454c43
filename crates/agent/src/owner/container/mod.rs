//! Containers that are no pods, from the records that their runtimes keep on disk.
//!
//! [`dir`] follows a directory of records, [`record`] reads one, and [`claims`] joins the records about one
//! namespace. No runtime is asked, and a pod always wins over a container.

pub mod claims;
pub mod dir;
pub mod record;
