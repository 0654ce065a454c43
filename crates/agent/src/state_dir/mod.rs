//! The state that survives the agent: start times and bases of series, and last points that have not arrived.
//!
//! A state is for the next agent on the same boot. It is written to a new file that replaces the old one, so that a
//! killed agent leaves the old or the new state. There is no fsync: what the kernel has of a file survives the process,
//! and a crash of the machine makes another boot.

mod document;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub(crate) use self::document::{Request, State};

/// Largest state that is read.
const LARGEST: u64 = 64 << 20;

/// A folder with the state of the agent.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    boot: String,
}

impl StateDir {
    /// Makes the folder where missing.
    ///
    /// # Errors
    /// Fails where the folder cannot be made.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| {
            format!("cannot make {}; make it writable for the agent, or leave out --state-dir", path.display())
        })?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the id of the boot")?;
        Ok(Self { path: path.to_owned(), boot: boot.trim().to_owned() })
    }

    /// The state of the agent before, if there is one of this boot. A damaged state is left out with a warning.
    pub(crate) fn load(&self) -> Option<State> {
        let file = self.file("state");
        let read = || match fs::metadata(&file)?.len() {
            0..=LARGEST => fs::read(&file),
            size => Err(io::Error::other(format!("it has {size} bytes, too many for a state"))),
        };
        let parsed = match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
            Ok(bytes) => State::parse(&bytes).map_err(ToOwned::to_owned),
        };
        match parsed {
            Ok(state) if state.boot == self.boot => Some(state),
            Ok(_) => {
                tracing::info!(event.name = "state.other_boot", file = %file.display(), "the state is of another boot and not used");
                None
            }
            Err(error) => {
                tracing::warn!(event.name = "state.damaged", file = %file.display(), error, "the state cannot be used; every series starts as without a state");
                None
            }
        }
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// Returns the errors of the file system; the old state is left.
    pub(crate) fn save(&self, state: State) -> io::Result<()> {
        let new = self.file("state.new");
        fs::write(&new, State { boot: self.boot.clone(), ..state }.into_bytes()?)?;
        fs::rename(&new, self.file("state"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let request = Request { items: 7, body: b"\0\n\xff".to_vec().into() };
        State { agent: "0.1.0".into(), requests: vec![request.clone(), request], ..State::default() }
    }

    #[test]
    fn state_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&folder.path().join("made")).unwrap();
        assert!(dir.load().is_none());
        dir.save(state()).unwrap();
        let loaded = dir.load().unwrap();
        assert_eq!((loaded.agent.as_str(), loaded.requests), ("0.1.0", state().requests));
        assert!(!dir.file("state.new").exists());
    }

    /// Any cut and any changed byte is noticed.
    #[test]
    fn damaged_state_is_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        dir.save(state()).unwrap();
        let bytes = fs::read(dir.file("state")).unwrap();
        for at in 0..bytes.len() {
            fs::write(dir.file("state"), &bytes[..at]).unwrap();
            assert!(dir.load().is_none(), "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(dir.file("state"), damaged).unwrap();
            assert!(dir.load().is_none(), "damaged at {at}");
        }
    }

    #[test]
    fn state_of_another_boot_is_unused() {
        let folder = tempfile::tempdir().unwrap();
        let mut dir = StateDir::open(folder.path()).unwrap();
        dir.save(state()).unwrap();
        dir.boot = "another".into();
        assert!(dir.load().is_none());
    }
}
