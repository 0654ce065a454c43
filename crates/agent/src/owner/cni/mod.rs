//! The CNI result cache: files on disk, their contents, and the evidence they give.

pub(crate) mod attachments;
pub mod dir;
pub mod result;
