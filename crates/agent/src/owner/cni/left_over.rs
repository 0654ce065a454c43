//! Tells files about namespaces that do not exist, by a look at their paths alone: a runtime that crashes leaves
//! hundreds of thousands of files over.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use iface_core::NetnsName;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::owner::cni::result::netns_name;

/// Most directories of namespaces to remember.
const MOST_DIRS: usize = 16;

/// Looks for the first path of a namespace that does not exist, and reads no further.
///
/// Finds nothing in a file that is not libcni's: the parser of whole files tells the reason.
pub(super) fn find(content: &[u8], spaces: &mut Spaces) -> Option<NetnsName> {
    let mut lacking = None;
    let file = Part { level: Level::File, spaces, lacking: &mut lacking };
    // An error is either the early end, or the other parser's.
    let _end = file.deserialize(&mut serde_json::Deserializer::from_slice(content));
    lacking
}

/// The parts of a file on the way to the paths of namespaces: `netns` and `result.interfaces[].sandbox`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    File,
    Result,
    Interfaces,
    Interface,
    Path,
}

impl Level {
    fn inner(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::File, "result") => Some(Self::Result),
            (Self::Result, "interfaces") => Some(Self::Interfaces),
            (Self::File, "netns") | (Self::Interface, "sandbox") => Some(Self::Path),
            _ => None,
        }
    }
}

struct Part<'a> {
    level: Level,
    spaces: &'a mut Spaces,
    lacking: &'a mut Option<NetnsName>,
}

impl Part<'_> {
    fn inner(&mut self, level: Level) -> Part<'_> {
        Part { level, spaces: self.spaces, lacking: self.lacking }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a CNI cache file")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&str>()? {
            match self.level.inner(key) {
                Some(level) => map.next_value_seed(self.inner(level))?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if self.level != Level::Interfaces {
            return Err(A::Error::custom("a list in the place of another value"));
        }
        while list.next_element_seed(self.inner(Level::Interface))?.is_some() {}
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.level == Level::Path && self.spaces.lack(Path::new(text)) {
            *self.lacking = netns_name(text);
        }
        if self.lacking.is_some() { Err(E::custom("found")) } else { Ok(()) }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Tells which namespaces exist by the names in their directories.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    /// The names in each directory at the first question; `None` for a missing directory. Few, so that a search is
    /// faster than a hash of the path.
    dirs: Vec<(PathBuf, Option<HashSet<OsString>>)>,
}

impl Spaces {
    /// Whether the path leads to nothing, although its directory is there: a directory that is not mounted here may
    /// have the namespace all the same.
    pub(super) fn lack(&mut self, netns: &Path) -> bool {
        let (Some(dir), Some(name)) = (netns.parent(), netns.file_name()) else { return false };
        let is_dir = |(known, _): &&(PathBuf, _)| known.as_os_str() == dir.as_os_str();
        if let Some((_, names)) = self.dirs.iter().find(is_dir) {
            return names.as_ref().is_some_and(|names| !names.contains(name));
        }
        if self.dirs.len() == MOST_DIRS {
            return is_missing(netns, dir);
        }
        let Ok(names) = names(dir) else { return is_missing(netns, dir) };
        let lacks = names.as_ref().is_some_and(|names| !names.contains(name));
        self.dirs.push((dir.to_owned(), names));
        lacks
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

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::owner::cni::result::{Refusal, parse_existing};

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

    fn there_and_gone() -> (tempfile::TempDir, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let [there, gone] = ["there", "gone"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
        fs::write(&there, "").unwrap();
        (dir, there, gone)
    }

    /// The search ends at the first missing namespace, whatever follows; other files are left to the whole parser.
    #[test]
    fn first_missing_path_decides() {
        let (_dir, there, gone) = there_and_gone();
        for (content, is_found) in [
            (json!({"kind": "x", "netns": gone}).to_string(), true),
            (format!(r#"{{"netns":"{gone}","result":{{"interf"#), true),
            (format!(r#"{{"netns":"{}"}}"#, gone.replace('/', "\\/")), true),
            (json!({"netns": null, "result": {"interfaces": [{}, {"sandbox": gone}]}}).to_string(), true),
            (json!({"netns": there, "result": {"interfaces": [{"sandbox": there}]}}).to_string(), false),
            (json!({"config": {"netns": gone}, "cniArgs": [["netns", gone]]}).to_string(), false),
            (json!({"result": {"netns": gone, "interfaces": {"sandbox": gone}}}).to_string(), false),
            (json!([{"netns": gone}]).to_string(), false),
            (json!({"netns": 5, "result": {"interfaces": [{"sandbox": gone}]}}).to_string(), false),
            (json!({"netns": "/proc/0/ns/net"}).to_string(), false),
            (String::new(), false),
        ] {
            assert_eq!(find(content.as_bytes(), &mut Spaces::default()).is_some(), is_found, "{content}");
        }
    }

    proptest! {
        /// Of a whole file, the search tells what the parser of whole files tells.
        #[test]
        fn search_and_parser_agree(netns in 0usize..4, sandboxes in prop::collection::vec(0usize..4, 0..4)) {
            let (_dir, there, gone) = there_and_gone();
            let paths = [json!(there), json!(gone), json!(null), json!("")];
            let interfaces: Vec<_> = sandboxes
                .iter()
                .map(|which| match which {
                    2 => json!({"name": "eth0"}),
                    which => json!({"name": "eth0", "sandbox": paths[*which]}),
                })
                .collect();
            let file = json!({
                "kind": "cniCacheV1", "ifName": "eth0", "netns": paths[netns],
                "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web"]],
                "result": {"interfaces": interfaces},
            });
            let content = file.to_string();
            let parsed = parse_existing(content.as_bytes(), |path| !Spaces::default().lack(path));
            let found = find(content.as_bytes(), &mut Spaces::default()).is_some();
            // A file with two namespaces is refused for that by the parser.
            let is_left_over = matches!(parsed, Err(Refusal::LeftOver(_) | Refusal::TwoNetns));
            let names_gone = netns == 1 || sandboxes.contains(&1);
            prop_assert_eq!((found, is_left_over), (names_gone, names_gone));
        }
    }
}
