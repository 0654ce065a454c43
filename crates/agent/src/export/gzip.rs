//! Compresses requests and pages.

use std::io::{self, BufWriter, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::bytes::{Buf as _, Bytes};

/// Size in bytes of the pieces in which data is compressed and expanded.
const PIECE: usize = 64 * 1024;

/// A text or a message, compressed with gzip.
#[derive(Clone, Debug)]
pub struct Compressed(Bytes);

impl Compressed {
    /// Compresses the output of `write`, which is never held as a whole.
    ///
    /// # Errors
    /// Returns the errors of `write`.
    pub fn new(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        // Names repeat often: the fastest level leaves a tenth.
        let mut to = BufWriter::with_capacity(PIECE, GzEncoder::new(Vec::new(), Compression::fast()));
        write(&mut to)?;
        let bytes = to.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        Ok(Self(bytes.into()))
    }

    /// The compressed bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The uncompressed bytes, in pieces.
    pub fn expand(self) -> impl Iterator<Item = io::Result<Bytes>> + Send {
        let mut decoder = GzDecoder::new(self.0.reader());
        std::iter::from_fn(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut decoder).take(PIECE as u64).read_to_end(&mut piece);
            read.map(|length| (length > 0).then(|| piece.into())).transpose()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_text_expands_in_pieces() {
        let line = "k8s_pod_network_io_bytes_total{k8s_pod_name=\"web\"} 1000\n";
        let text = line.repeat(10_000);
        let compressed = Compressed::new(|to| (0..10_000).try_for_each(|_| to.write_all(line.as_bytes()))).unwrap();
        assert!(compressed.clone().into_bytes().len() < text.len() / 10);
        let pieces: Vec<Bytes> = compressed.expand().map(Result::unwrap).collect();
        assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
        assert!(pieces.concat() == text.as_bytes());
    }

    #[test]
    fn empty_text_is_compressed() {
        assert_eq!(Compressed::new(|_| Ok(())).unwrap().expand().count(), 0);
    }

    #[test]
    fn write_errors_are_returned() {
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert_eq!(Compressed::new(|_| full()).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
