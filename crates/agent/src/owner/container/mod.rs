//! Containers, and pods without a CNI result, from the records that runtimes keep on disk.
//!
//! [`dir`] follows a directory of records, [`record`] and [`oci`] read one, and [`claims`] joins the records about one
//! namespace. No runtime is asked, and a pod always wins over a container.

pub mod claims;
pub mod dir;
pub mod oci;
pub mod record;
