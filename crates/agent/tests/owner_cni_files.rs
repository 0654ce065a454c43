//! A CNI cache when the process has no file descriptor left; alone in its process for that.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::Duration;

use futures_util::StreamExt;
use netns_agent::owner::cni::dir::{CniChange, CniDir};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

fn content(pod: &str) -> String {
    json!({
        "kind": "cniCacheV1", "containerId": "c", "ifName": "eth0", "networkName": "podnet",
        "netns": "/var/run/netns/cni-a", "result": {"cniVersion": "1.0.0"},
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", pod], ["K8S_POD_UID", "u"]],
    })
    .to_string()
}

/// From now on no file can be opened, until the limit that is returned is set again.
fn no_files_left() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(lowest_free).unwrap(), hard).unwrap();
    soft
}

fn files_again(soft: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}

/// The next change in short.
async fn next(follow: &mut CniDir) -> String {
    let next = tokio::time::timeout(Duration::from_secs(20), follow.next());
    match next.await.expect("nothing happened in time").unwrap() {
        CniChange::Read(_, attachment) => attachment.pod.name.clone(),
        CniChange::Unavailable(why) => why.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn unreadable_file_is_retried() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), content("one")).unwrap();
    let mut follow = CniDir::new(dir.path()).unwrap();
    let soft = no_files_left();
    assert!(next(&mut follow).await.contains("too many open files; raise RLIMIT_NOFILE"));
    assert_eq!(next(&mut follow).await, "Listed", "nobody waits for it");
    files_again(soft);
    assert_eq!(
        [next(&mut follow).await, next(&mut follow).await, next(&mut follow).await],
        ["one", "Available", "Listed"]
    );

    fs::write(dir.path().join("a"), content("two")).unwrap();
    let soft = no_files_left();
    assert!(next(&mut follow).await.contains("too many open files"), "and the file is not said to be gone");
    // By now the files cannot even be listed.
    tokio::time::timeout(Duration::from_millis(2_500), follow.next()).await.expect("it is tried again").unwrap();
    files_again(soft);
    assert_eq!([next(&mut follow).await, next(&mut follow).await], ["two", "Available"]);
}
