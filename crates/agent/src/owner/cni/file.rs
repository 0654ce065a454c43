//! Reads one file of a CNI cache, with few system calls: a runtime may leave hundreds of thousands of files over.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};

use iface_core::NsFile;
use nix::errno::Errno;
use nix::libc::{O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};

use crate::owner::cni::result::{self, Attachment, MAX_FILE, Refusal};

/// Most directories of namespaces to remember.
const MOST_DIRS: usize = 16;

/// Reads files one after the other into the same memory.
#[derive(Debug)]
pub(super) struct FileReader {
    buffer: Vec<u8>,
    /// O_NOATIME, which spares the disk a write for each file, until the kernel refuses the flag: only the owner of a
    /// file may set the flag.
    no_atime: i32,
}

impl Default for FileReader {
    fn default() -> Self {
        Self { buffer: Vec::new(), no_atime: O_NOATIME }
    }
}

impl FileReader {
    /// Reads one file without blocking: FIFOs and links are refused. With `spaces`, a file about a namespace that
    /// does not exist is left over.
    pub(super) fn read(&mut self, path: &Path, spaces: Option<&mut Spaces>) -> Result<Attachment, Refusal> {
        let file = self.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Refusal::NotAFile);
        }
        let content = self.content(file, metadata.len())?;
        let attachment = match spaces {
            Some(spaces) => result::parse_existing(content, |netns| !spaces.lack(netns))?,
            None => result::parse(content)?,
        };
        let space = attachment.path.as_deref().and_then(space_at);
        Ok(Attachment { written: metadata.modified().ok(), space, ..attachment })
    }

    fn open(&mut self, path: &Path) -> Result<File, Refusal> {
        let flags = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY;
        let opened = OpenOptions::new().read(true).custom_flags(flags | self.no_atime).open(path);
        let errno = |error: &io::Error| error.raw_os_error().map(Errno::from_raw);
        match opened {
            Err(error) if errno(&error) == Some(Errno::EPERM) && self.no_atime != 0 => {
                self.no_atime = 0;
                self.open(path)
            }
            Err(error) if matches!(errno(&error), Some(Errno::ELOOP | Errno::ENXIO)) => Err(Refusal::NotAFile),
            opened => Ok(opened?),
        }
    }

    /// The whole content. A read of less than asked for is the last, as the file is a regular file.
    fn content(&mut self, mut file: File, size: u64) -> Result<&[u8], Refusal> {
        let mut length = 0;
        self.buffer.resize(size.min(MAX_FILE) as usize + 1, 0);
        loop {
            match file.read(&mut self.buffer[length..]) {
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            if length as u64 > MAX_FILE {
                self.buffer = Vec::new();
                return Err(Refusal::TooLarge);
            }
            if length < self.buffer.len() {
                return Ok(&self.buffer[..length]);
            }
            // The file has grown during the read.
            self.buffer.resize((2 * length).min(MAX_FILE as usize + 1), 0);
        }
    }
}

/// The file of the namespace to which a path leads.
pub(in crate::owner) fn space_at(path: &Path) -> Option<NsFile> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(NsFile { dev: metadata.dev(), inode: metadata.ino() })
}

/// Tells which namespaces exist by the names in their directories.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    /// The names in each directory at the first question; `None` for a missing directory.
    dirs: HashMap<PathBuf, Option<HashSet<OsString>>>,
}

impl Spaces {
    /// Whether the path leads to nothing, although its directory is there: a directory that is not mounted here may
    /// have the namespace all the same.
    fn lack(&mut self, netns: &Path) -> bool {
        let (Some(dir), Some(name)) = (netns.parent(), netns.file_name()) else { return false };
        if !self.dirs.contains_key(dir) {
            if self.dirs.len() == MOST_DIRS {
                return is_missing(netns, dir);
            }
            let Ok(names) = names(dir) else { return is_missing(netns, dir) };
            self.dirs.insert(dir.to_owned(), names);
        }
        self.dirs.get(dir).and_then(Option::as_ref).is_some_and(|names| !names.contains(name))
    }
}

/// The names in a directory; `None` for a missing directory.
fn names(dir: &Path) -> io::Result<Option<HashSet<OsString>>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>().map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(netns: &Path, dir: &Path) -> bool {
    let absent = |path: &Path| path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    absent(netns) && !absent(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn namespaces_are_looked_for_once() {
        let root = tempfile::tempdir().unwrap();
        let netns = root.path().join("netns");
        fs::create_dir(&netns).unwrap();
        fs::write(netns.join("a"), "").unwrap();
        let mut spaces = Spaces::default();
        assert!(!spaces.lack(&netns.join("a")) && spaces.lack(&netns.join("b")));
        assert!(!spaces.lack(&root.path().join("unseen/c")), "the directory may be elsewhere");
        fs::write(netns.join("b"), "").unwrap();
        assert!(spaces.lack(&netns.join("b")) && !Spaces::default().lack(&netns.join("b")));
    }

    /// The limit holds for a file that grows, and the memory of a large file is not kept.
    #[test]
    fn content_is_whole_and_limited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut reader = FileReader::default();
        for (size, hint) in [(0, 0), (10, 10), (5_000, 3), (MAX_FILE, MAX_FILE), (MAX_FILE, 1)] {
            fs::write(&path, vec![b'x'; size as usize]).unwrap();
            let content = reader.content(File::open(&path).unwrap(), hint).unwrap();
            assert!(content.len() as u64 == size && content.iter().all(|byte| *byte == b'x'), "{size} {hint}");
        }
        fs::write(&path, vec![b'x'; MAX_FILE as usize + 1]).unwrap();
        for hint in [0, MAX_FILE + 1] {
            let refused = reader.content(File::open(&path).unwrap(), hint);
            assert!(matches!(refused, Err(Refusal::TooLarge)), "{hint}");
        }
        assert!(reader.buffer.is_empty());
    }
}
