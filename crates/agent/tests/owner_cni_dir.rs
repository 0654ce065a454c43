//! The CNI cache as a directory on disk, followed by inotify.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use netns_agent::owner::cni::dir::{CniChange, CniDir};
use netns_agent::owner::cni::result::Refusal;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

struct Follow(CniDir);

impl Follow {
    fn new(dir: &Path) -> Self {
        Self(CniDir::new(dir).unwrap())
    }

    async fn next(&mut self) -> CniChange {
        tokio::time::timeout(LIMIT, self.0.next()).await.expect("nothing happened in time").unwrap()
    }

    /// A short word for each of the next changes, in order.
    async fn words(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            words.push(word(&self.next().await));
        }
        words
    }

    /// All changes until everything that is there was told.
    async fn listed(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            match self.next().await {
                CniChange::Listed => return words,
                change => words.push(word(&change)),
            }
        }
    }
}

fn word(change: &CniChange) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    match change {
        CniChange::Read(path, attachment) => format!("{} is {}", name(path), attachment.pod.name),
        CniChange::Refused(path, refusal) => format!("{} {refusal}", name(path)),
        CniChange::Gone(path) => format!("{} gone", name(path)),
        CniChange::LeftOver(files) => format!("{files} left over"),
        CniChange::Listed => "listed".into(),
        CniChange::Available => "available".into(),
        CniChange::Unavailable(why) => why.to_string(),
    }
}

fn content(pod: &str) -> String {
    json!({
        "kind": "cniCacheV1", "containerId": "c", "ifName": "eth0", "networkName": "podnet",
        "netns": "/var/run/netns/cni-a",
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", pod], ["K8S_POD_UID", "u"]],
        "result": {"cniVersion": "1.0.0"},
    })
    .to_string()
}

fn cache() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lib/cni/results");
    (root, dir)
}

#[tokio::test]
async fn old_new_and_changed_files_are_read() {
    let (_root, dir) = cache();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("a"), content("one")).unwrap();
    let mut follow = Follow::new(&dir);
    assert_eq!(follow.listed().await, ["a is one"]);
    fs::write(dir.join("b"), content("two")).unwrap();
    assert_eq!(follow.words(1).await, ["b is two"]);
    fs::write(dir.join("a"), content("three")).unwrap();
    assert_eq!(follow.words(1).await, ["a is three"]);
    fs::rename(dir.join("a"), dir.join("c")).unwrap();
    assert_eq!(follow.words(2).await, ["a gone", "c is three"]);
    fs::remove_file(dir.join("b")).unwrap();
    assert_eq!(follow.words(1).await, ["b gone"]);
}

#[tokio::test]
async fn file_is_read_once_closed() {
    use std::io::Write;
    let (_root, dir) = cache();
    fs::create_dir_all(&dir).unwrap();
    let content = content("one");
    let mut file = fs::File::create(dir.join("a")).unwrap();
    file.write_all(&content.as_bytes()[..20]).unwrap();
    let mut follow = Follow::new(&dir);
    assert!(follow.listed().await[0].starts_with("a ends in the middle"));
    file.write_all(&content.as_bytes()[20..]).unwrap();
    drop(file);
    assert_eq!(follow.words(1).await, ["a is one"]);
}

#[tokio::test]
async fn foreign_file_is_refused_by_name() {
    let (_root, dir) = cache();
    fs::create_dir_all(dir.join("1-directory")).unwrap();
    nix::unistd::mkfifo(&dir.join("2-fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(dir.join("good"), content("one")).unwrap();
    std::os::unix::fs::symlink(dir.join("good"), dir.join("3-link")).unwrap();
    fs::write(dir.join("4-large"), vec![b' '; (1 << 20) + 1]).unwrap();
    fs::write(dir.join("5-text"), "no JSON").unwrap();
    fs::write(dir.join("6-empty"), "").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("7-socket")).unwrap();
    let mut follow = Follow::new(&dir);
    let mut refused = Vec::new();
    loop {
        match follow.next().await {
            CniChange::Refused(path, refusal) => {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                refused.push((name, refusal));
            }
            CniChange::Read(path, _) => assert_eq!(*path, *dir.join("good")),
            CniChange::Listed => break,
            other => panic!("{other:?}"),
        }
    }
    let mut reasons: Vec<&str> = refused
        .iter()
        .map(|(name, refusal)| match refusal {
            Refusal::NotAFile | Refusal::TooLarge | Refusal::Malformed(_) | Refusal::CutOff => name.as_str(),
            other => panic!("{name} {other}"),
        })
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["1-directory", "2-fifo", "3-link", "4-large", "5-text", "6-empty", "7-socket"]);
}

/// A file about a namespace that does not exist is left over, unless the directory of the namespace is not visible.
#[tokio::test]
async fn left_over_file_is_skipped() {
    let (root, dir) = cache();
    let netns = root.path().join("netns");
    for path in [&dir, &netns] {
        fs::create_dir_all(path).unwrap();
    }
    let of = |pod: &str, netns: &Path| {
        let sandbox = netns.to_str().unwrap();
        content(pod).replace("/var/run/netns/cni-a", sandbox)
    };
    fs::write(netns.join("cni-a"), "").unwrap();
    fs::write(dir.join("1"), of("alive", &netns.join("cni-a"))).unwrap();
    fs::write(dir.join("2"), of("dead", &netns.join("cni-b"))).unwrap();
    fs::write(dir.join("3"), of("unseen", &root.path().join("elsewhere/cni-c"))).unwrap();
    let mut follow = Follow(CniDir::new(&dir).unwrap().skip_left_over());
    let mut words = follow.listed().await;
    words.sort_unstable();
    assert_eq!(words, ["1 is alive", "1 left over", "3 is unseen"]);
    // A known file stays known without its namespace, and a new file about a new namespace is read.
    fs::remove_file(netns.join("cni-a")).unwrap();
    fs::write(netns.join("cni-b"), "").unwrap();
    fs::write(dir.join("1"), of("alive", &netns.join("cni-a"))).unwrap();
    fs::write(dir.join("2"), of("new", &netns.join("cni-b"))).unwrap();
    assert_eq!(follow.words(2).await, ["1 is alive", "2 is new"]);
    fs::remove_file(dir.join("2")).unwrap();
    assert_eq!(follow.words(1).await, ["2 gone"]);
}

#[tokio::test]
async fn directory_may_come_and_go() {
    let (root, dir) = cache();
    let mut follow = Follow::new(&dir);
    let absent = follow.listed().await;
    assert!(absent[0].contains("does not exist (yet)"), "{absent:?}");

    // Made elsewhere first, so that directory and file come at once.
    let made = root.path().join("made");
    fs::create_dir_all(made.join("cni/results")).unwrap();
    fs::write(made.join("cni/results/a"), content("one")).unwrap();
    fs::rename(&made, root.path().join("lib")).unwrap();
    assert_eq!(until(&mut follow, "available").await, ["a is one", "available"]);

    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b"), content("two")).unwrap();
    fs::rename(&dir, root.path().join("old")).unwrap();
    until(&mut follow, "a gone").await;
    fs::rename(&other, &dir).unwrap();
    until(&mut follow, "b is two").await;

    // One directory further up goes.
    fs::rename(root.path().join("lib"), root.path().join("away")).unwrap();
    until(&mut follow, "b gone").await;
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("c"), content("three")).unwrap();
    until(&mut follow, "c is three").await;

    fs::remove_dir_all(&dir).unwrap();
    until(&mut follow, "c gone").await;
}

/// The changes up to this one, without the listings.
async fn until(follow: &mut Follow, last: &str) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let word = word(&follow.next().await);
        words.extend(Some(word.clone()).filter(|word| word != "listed"));
        if word == last {
            return words;
        }
    }
}

#[tokio::test]
async fn plain_file_as_directory_is_a_fault() {
    let (root, _) = cache();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let mut follow = Follow::new(&file);
    let said = follow.listed().await;
    assert!(said[0].contains("is no directory; set --cni-cache-dir"), "{said:?}");
}

#[tokio::test]
async fn inotify_overflow_loses_nothing() {
    let (_root, dir) = cache();
    fs::create_dir_all(&dir).unwrap();
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let mut follow = Follow::new(&dir);
    follow.listed().await;
    for number in 0..queue + 100 {
        // Alternating, for the kernel merges equal events that follow each other.
        fs::write(dir.join(if number % 2 == 0 { "even" } else { "odd" }), "").unwrap();
    }
    fs::write(dir.join("last"), content("one")).unwrap();
    until(&mut follow, "last is one").await;
}
