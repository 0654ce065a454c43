//! The CNI result cache: files on disk, their contents, and the evidence they give.

pub(crate) mod attachments;
pub(crate) mod clues;
pub mod dir;
pub(crate) mod file;
mod format;
mod left_over;
pub(crate) mod network;
pub mod result;
