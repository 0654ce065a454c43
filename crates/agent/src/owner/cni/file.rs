//! Reads one file of a CNI cache, with few system calls: a runtime may leave hundreds of thousands of files over.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use iface_core::NsFile;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::owner::cni::left_over::{self, Spaces};
use crate::owner::cni::result::{self, Attachment, MAX_FILE, Refusal};

/// Bytes to read at once: real files have a few thousand, so that one read tells the end.
const AT_ONCE: usize = 16 << 10;

/// A file to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// An open directory.
    pub(super) dir: BorrowedFd<'a>,
    /// The path, relative to the directory.
    pub(super) path: &'a Path,
    /// Whether the directory's list says that the file is a regular one: the kernel need not be asked again.
    pub(super) is_regular: bool,
}

/// Reads files one after the other into the same memory.
#[derive(Debug)]
pub(super) struct FileReader {
    buffer: Vec<u8>,
    /// O_NOATIME, which spares the disk a write for each file, until the kernel refuses the flag: only the owner of a
    /// file may set the flag.
    no_atime: OFlag,
}

impl Default for FileReader {
    fn default() -> Self {
        Self { buffer: Vec::new(), no_atime: OFlag::O_NOATIME }
    }
}

impl FileReader {
    /// Reads one file without blocking: FIFOs and links are refused. With `spaces`, a file about a namespace that
    /// does not exist is left over.
    pub(super) fn read(&mut self, target: Target<'_>, spaces: Option<&mut Spaces>) -> Result<Attachment, Refusal> {
        let mut file = self.open(target)?;
        if !target.is_regular {
            regular(&file)?;
        }
        let content = self.content(&mut file)?;
        let parsed = match spaces {
            Some(spaces) => match left_over::find(content, spaces) {
                // Most files, and without effect: another file in the place of the listed one is announced.
                Some(name) => return Err(Refusal::LeftOver(name)),
                None => result::parse_existing(content, |netns| !spaces.lack(netns)),
            },
            None => result::parse(content),
        };
        let written = regular(&file)?.modified().ok();
        let attachment = parsed?;
        let space = attachment.path.as_deref().and_then(space_at);
        Ok(Attachment { written, space, ..attachment })
    }

    fn open(&mut self, target: Target<'_>) -> Result<File, Refusal> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        match openat(target.dir, target.path, flags | self.no_atime, Mode::empty()) {
            Ok(opened) => Ok(opened.into()),
            Err(Errno::EPERM) if !self.no_atime.is_empty() => {
                self.no_atime = OFlag::empty();
                self.open(target)
            }
            Err(Errno::ELOOP | Errno::ENXIO) => Err(Refusal::NotAFile),
            Err(errno) => Err(Refusal::Unreadable(errno.into())),
        }
    }

    /// The whole content. A read of less than asked for is the last, as the file is a regular file.
    fn content(&mut self, file: &mut File) -> Result<&[u8], Refusal> {
        if self.buffer.len() != AT_ONCE {
            self.buffer = vec![0; AT_ONCE];
        }
        let mut length = 0;
        loop {
            match file.read(&mut self.buffer[length..]) {
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(not_read(file, error)),
            }
            if length as u64 > MAX_FILE {
                self.buffer = Vec::new();
                return Err(Refusal::TooLarge);
            }
            if length < self.buffer.len() {
                return Ok(&self.buffer[..length]);
            }
            self.buffer.resize((4 * length).min(MAX_FILE as usize + 1), 0);
        }
    }
}

fn regular(file: &File) -> Result<Metadata, Refusal> {
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(metadata) } else { Err(Refusal::NotAFile) }
}

/// A directory or FIFO in the place of a listed file.
fn not_read(file: &File, error: io::Error) -> Refusal {
    match regular(file) {
        Ok(_) => error.into(),
        Err(refusal) => refusal,
    }
}

/// The file of the namespace to which a path leads.
pub(in crate::owner) fn space_at(path: &Path) -> Option<NsFile> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(NsFile { dev: metadata.dev(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;

    use super::*;

    /// The limit holds for a file that grows, and the memory of a large file is not kept.
    #[test]
    fn content_is_whole_and_limited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut reader = FileReader::default();
        let most = MAX_FILE as usize;
        for size in [0, 10, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 4 * AT_ONCE, most - 1, most, 5_000] {
            fs::write(&path, vec![b'x'; size]).unwrap();
            let content = reader.content(&mut File::open(&path).unwrap()).unwrap();
            assert!(content.len() == size && content.iter().all(|byte| *byte == b'x'), "{size}");
        }
        assert_eq!(reader.buffer.len(), AT_ONCE);
        for size in [most + 1, 2 * most] {
            fs::write(&path, vec![b'x'; size]).unwrap();
            let refused = reader.content(&mut File::open(&path).unwrap());
            assert!(matches!(refused, Err(Refusal::TooLarge)), "{size}");
        }
        assert!(reader.buffer.is_empty());
    }

    /// The list of a directory may be of the past: another file has taken the place since.
    #[test]
    fn listed_file_may_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let opened = File::open(dir.path()).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRUSR).unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("dir", dir.path().join("link")).unwrap();
        let mut reader = FileReader::default();
        for name in ["fifo", "dir", "link"] {
            for is_regular in [true, false] {
                let target = Target { dir: opened.as_fd(), path: Path::new(name), is_regular };
                let refused = reader.read(target, Some(&mut Spaces::default()));
                assert!(matches!(refused, Err(Refusal::NotAFile)), "{name}: {refused:?}");
            }
        }
    }
}
