//! The processes of a `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// The PIDs below `proc`, in rising order.
///
/// # Errors
/// When the directory cannot be opened.
pub(crate) fn pids(proc: &Path) -> io::Result<BTreeSet<u32>> {
    Ok(fs::read_dir(proc)?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
