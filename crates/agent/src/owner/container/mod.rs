//! Containers, and pods without a CNI result, from the records that runtimes keep on disk, and from processes of conmon.
//!
//! [`dir`] follows a directory of records, [`record`] and [`oci`] read one, and [`claims`] joins the records about one
//! namespace. [`rootless`] follows the containers of users' own podman, each by a process of conmon, in a
//! namespace that [`user_netns`] proves. No runtime is asked, and a pod always wins over a container.

pub mod claims;
mod conmon;
pub mod dir;
pub mod oci;
pub mod record;
pub mod rootless;
pub mod user_netns;
