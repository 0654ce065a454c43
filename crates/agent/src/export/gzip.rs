//! Compresses requests and pages.

use std::io::{self, BufWriter, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::bytes::{Buf as _, Bytes};

/// Bytes of a piece of what is compressed or expanded at once.
const PIECE: usize = 64 * 1024;

/// A text or a message, compressed with gzip.
#[derive(Clone, Debug)]
pub struct Compressed(Bytes);

impl Compressed {
    /// What `write` writes; it is never held whole.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn new(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        // Names repeat so much that the fastest level leaves a tenth.
        let mut to = BufWriter::with_capacity(PIECE, GzEncoder::new(Vec::new(), Compression::fast()));
        write(&mut to)?;
        let bytes = to.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        Ok(Self(bytes.into()))
    }

    /// It as it is.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// What was compressed, in pieces.
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
    fn what_was_compressed_comes_back_in_pieces() {
        let line = "k8s_pod_network_io_bytes_total{k8s_pod_name=\"web\"} 1000\n";
        let text = line.repeat(10_000);
        let compressed = Compressed::new(|to| (0..10_000).try_for_each(|_| to.write_all(line.as_bytes()))).unwrap();
        assert!(compressed.clone().into_bytes().len() < text.len() / 10);
        let pieces: Vec<Bytes> = compressed.expand().map(Result::unwrap).collect();
        assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
        assert!(pieces.concat() == text.as_bytes());
    }

    #[test]
    fn nothing_is_a_text_too() {
        assert_eq!(Compressed::new(|_| Ok(())).unwrap().expand().count(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_not_compressed() {
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert_eq!(Compressed::new(|_| full()).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
