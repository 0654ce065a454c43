//! Compresses requests and pages.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The text or message, compressed.
///
/// # Errors
/// None that writing to memory can have.
pub(crate) fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    // Names repeat so much that the fastest level leaves a tenth.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
