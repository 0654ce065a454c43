use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use netns_scan::FaultKind;
use netns_testbed::{NetnsDir, Test, Veth, tests};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::subject::{EXACT, Subject, assert_exact};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![Subject::ALL;
        a_late_mount_is_found_at_once,
        a_plain_file_is_no_namespace,
        a_directory_may_come_and_go,
        a_covered_directory_is_followed,
        directory_below_a_missing_one_is_found,
        several_directories_are_one_view,
        other_types_of_namespaces_are_refused,
        mounted_namespaces_are_found_anywhere,
        first_namespace_is_found_at_once,
    ]
}

/// A namespace mounted long after its file was made is found at once, without a timer.
fn a_late_mount_is_found_at_once(subject: Subject) {
    let dir = NetnsDir::standard();
    let mut observer = subject.synced();
    let mut delays = Vec::new();
    let mut pods = Vec::new();
    for n in 0..9 {
        let reserved = dir.reserve(&format!("pod{n}"));
        let pause = Duration::from_millis(if n == 0 { 1_500 } else { 20 });
        observer.never("a file is no namespace", pause, |replay| replay.interfaces().count() != 1 + n);
        let pod = reserved.mount_new();
        let start = Instant::now();
        observer.until("it is found", EXACT, |replay| replay.interfaces().count() == 2 + n);
        delays.push(start.elapsed());
        pods.push(pod);
    }
    delays.sort_unstable();
    // A timer would delay all nine, other work of the machine only some.
    assert!(delays[2] < Duration::from_millis(10), "two thirds take longer than 10 ms: {delays:?}");
    assert_exact(&mut observer, &pods);
}

fn a_plain_file_is_no_namespace(subject: Subject) {
    let dir = NetnsDir::standard();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("text"), "no namespace").unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path().join("dangling")).unwrap();
    let mut observer = subject.synced();
    let _empty = dir.reserve("empty");
    let pod = dir.add("pod");
    observer.until("the namespace beside them", EXACT, |replay| replay.find("pod", "lo").is_some());
    assert_exact(&mut observer, [&pod]);
    assert_eq!(observer.replay().interfaces().count(), 2);
}

/// A directory may appear, vanish and appear again.
fn a_directory_may_come_and_go(subject: Subject) {
    let mut observer = subject.synced();
    for _ in 0..3 {
        let dir = NetnsDir::standard();
        let pod = dir.add("pod");
        let veth = Veth::up("host0", &pod, "eth0");
        observer.until("the pod is found", EXACT, |replay| replay.find("pod", "eth0").is_some());
        assert_exact(&mut observer, [&pod]);
        drop((veth, pod));
        fs::remove_dir(dir.path()).unwrap();
        observer.until("the pod is gone", EXACT, |replay| replay.interfaces().count() == 1);
    }
}

/// A directory under another mount is followed there, and again without the mount.
fn a_covered_directory_is_followed(subject: Subject) {
    let dir = NetnsDir::standard();
    let below = dir.add("below");
    let mut observer = subject.synced();
    assert!(observer.replay().find("below", "lo").is_some());
    let none = None::<&str>;
    mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
    observer.until("what is covered is gone", EXACT, |replay| replay.at("below").count() == 0);
    let above = dir.add("above");
    observer.until("what is above is found", EXACT, |replay| replay.find("above", "lo").is_some());
    assert_exact(&mut observer, [&above]);
    umount2(dir.path(), MntFlags::MNT_DETACH).unwrap();
    observer.until("what was covered is back", EXACT, |replay| {
        replay.at("above").count() == 0 && replay.find("below", "lo").is_some()
    });
    let new = dir.add("new");
    observer.until("it is followed again", EXACT, |replay| replay.find("new", "lo").is_some());
    assert_exact(&mut observer, [&below, &new]);
}

/// A directory whose parents are missing is found when all exist.
fn directory_below_a_missing_one_is_found(subject: Subject) {
    let path = Path::new("/run/a/b/c");
    let mut observer = subject.start_with(vec![path.into()], |_| {});
    observer.synced();
    let dir = NetnsDir::at(path);
    let pod = dir.add("pod");
    observer.until("the pod is found", EXACT, |replay| replay.find("pod", "lo").is_some());
    assert_exact(&mut observer, [&pod]);
    drop(pod);
    fs::remove_dir_all("/run/a").unwrap();
    observer.until("the pod is gone", EXACT, |replay| replay.interfaces().count() == 1);
    let pod = NetnsDir::at(path).add("again");
    observer.until("the next is found", EXACT, |replay| replay.find("again", "lo").is_some());
    assert_exact(&mut observer, [&pod]);
}

fn several_directories_are_one_view(subject: Subject) {
    let (one, two) = (NetnsDir::standard(), NetnsDir::at("/run/docker/netns"));
    let mut observer = subject.start_with(vec![one.path().into(), two.path().into(), one.path().into()], |_| {});
    observer.synced();
    let (a, b) = (one.add("a"), two.add("b"));
    observer
        .until("both are found", EXACT, |replay| replay.find("a", "lo").is_some() && replay.find("b", "lo").is_some());
    let again = two.alias("a", a.path());
    assert_exact(&mut observer, [&a, &b]);
    drop((a, again));
    observer.until("the first is gone", EXACT, |replay| replay.at("a").count() == 0);
    assert_exact(&mut observer, [&b]);
}

/// A name of a uts namespace is a fault of its own: nothing waits for it, and nothing is hidden.
fn other_types_of_namespaces_are_refused(subject: Subject) {
    let dir = NetnsDir::standard();
    let odd = dir.alias("odd", "/proc/self/ns/uts".as_ref());
    let mut observer = subject.synced();
    let _pod = dir.add("pod");
    observer.until("the pod is found", EXACT, |replay| replay.find("pod", "lo").is_some());
    let handle = observer.informer().handle();
    let [fault] = &handle.status().faults[..] else { panic!("{:?}", handle.status()) };
    assert_eq!((fault.kind, &*fault.subject), (FaultKind::Name, odd.path()));
    assert!(fault.error.contains("uts"), "{}", fault.error);
    drop(odd);
    let _last = dir.add("last");
    observer.until("the last is found", EXACT, |replay| replay.find("last", "lo").is_some());
    assert_eq!(handle.status().faults, []);
    assert!(observer.replay().find("pod", "lo").is_some());
}

/// Directories that nobody named are found by their mounts, again and again, and other files there
/// are no fault.
fn mounted_namespaces_are_found_anywhere(subject: Subject) {
    let (standard, before) = (NetnsDir::standard(), NetnsDir::at("/run/docker/netns"));
    let first = before.add("first");
    let mut observer = subject.start_with(vec![standard.path().into()], |options| options.find_mounted = true);
    observer.synced();
    assert!(observer.replay().find("first", "lo").is_some());
    for path in ["/run/containerd/a b/netns", "/run/odd", "/run/odd"] {
        let later = NetnsDir::at(path);
        fs::write(later.path().join("plain"), "").unwrap();
        let alias = later.alias("again", first.path());
        // A look at the mounts finds the directory, and inotify the names in a known directory.
        let second = later.add("second");
        observer.until("the second is found", 5 * EXACT, |replay| replay.find("second", "lo").is_some());
        let third = later.add("third");
        observer.until("the third is found", EXACT, |replay| replay.find("third", "lo").is_some());
        let fourth = standard.add("fourth");
        observer.until("the fourth is found", EXACT, |replay| replay.find("fourth", "lo").is_some());
        assert_exact(&mut observer, [&first, &second, &third, &fourth]);
        assert_eq!(observer.informer().handle().status().faults, []);
        drop((second, third, fourth));
        observer.until("the first is left", EXACT, |replay| replay.interfaces().count() == 2);
        drop(alias);
        fs::remove_dir_all(later.path()).unwrap();
    }
    first.delete();
    observer.until("all are gone", EXACT, |replay| replay.interfaces().count() == 1);
}

/// Docker makes its directory with the first container: the name is there before anything else shows the namespace.
fn first_namespace_is_found_at_once(subject: Subject) {
    let standard = NetnsDir::standard();
    let mut observer = subject.start_with(vec![standard.path().into()], |options| options.find_mounted = true);
    observer.synced();
    let mut delays = Vec::new();
    for path in ["/run/docker/netns", "/run/other/netns", "/run/third/netns"] {
        // Mounts of other programs come before, as those of a container's files.
        let rootfs = NetnsDir::at("/run/rootfs");
        _ = rootfs.add("noise");
        let start = Instant::now();
        let dir = NetnsDir::at(path);
        let first = dir.add("first");
        observer.until("it is found", EXACT, |replay| replay.find("first", "lo").is_some());
        delays.push(start.elapsed());
        drop(first);
        observer.until("it is gone", EXACT, |replay| replay.interfaces().count() == 1);
    }
    delays.sort_unstable();
    assert!(delays[1] < Duration::from_millis(100), "most take longer than 100 ms: {delays:?}");
}
