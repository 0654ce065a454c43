use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use iface_core::NsFile;

use crate::discovery::nsfs::OWN;

/// Stands for a host's namespace that no name leads to.
const HOST: Sight = Sight { file: NsFile { dev: 0, inode: 1 }, cookie: None, mount: 0 };

fn follow(path: &Path) -> Directories {
    Directories::new(&[path.to_owned()], false, Names::new(HOST)).unwrap()
}

/// `ip netns del x; ip netns add x` often reuses inode and nsid; only the unlink tells the two apart.
#[test]
fn an_unlinked_name_ends_its_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("blue");
    symlink(OWN, &name).unwrap();
    let mut directories = follow(dir.path());
    let [Change::Opened(first, _)] = directories.list()[..] else { panic!("not opened") };
    std::fs::remove_file(&name).unwrap();
    symlink(OWN, &name).unwrap();
    let changes = directories.read_inotify();
    let [Change::Closed(closed), Change::Opened(second, _)] = changes[..] else { panic!("{changes:?}") };
    assert_eq!(closed, first);
    assert_ne!(second, first);
}

/// A path that cannot be listed is a fault until it can.
#[test]
fn an_unlistable_directory_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("netns");
    std::fs::write(&path, "").unwrap();
    let mut directories = follow(&path);
    directories.list();
    assert_eq!(directories.faults().map(|fault| &*fault.subject).collect::<Vec<_>>(), [&*path]);
    assert!(directories.take_faults_changed());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    directories.read_inotify();
    assert_eq!((directories.faults().count(), directories.take_faults_changed()), (0, true));
}

/// A directory with a fault is looked at again without any notification.
#[test]
fn a_fault_is_retried_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("blue");
    symlink("blue", &name).unwrap();
    let mut directories = follow(dir.path());
    directories.list();
    assert_eq!(directories.faults().count(), 1, "a name that leads to itself");
    let due = directories.deadline().unwrap();
    directories.catch_up(due);
    assert!(directories.deadline().unwrap() > due, "the pause grows");
    std::fs::remove_file(&name).unwrap();
    directories.read_inotify();
    assert_eq!((directories.faults().count(), directories.deadline()), (0, None));
}

/// A plain file becomes a fault after a while, and no longer costs a look at each change of mounts.
#[test]
fn a_plain_file_becomes_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("blue"), "").unwrap();
    let mut directories = follow(dir.path());
    directories.list();
    assert_eq!(directories.faults().count(), 0);
    directories.catch_up(directories.deadline().unwrap());
    assert_eq!(directories.faults().count(), 1);
    std::fs::remove_file(dir.path().join("blue")).unwrap();
    directories.mounts_changed(Instant::now());
    assert_eq!(directories.faults().count(), 1);
    directories.catch_up(Instant::now() + SWEEP_AFTER * 2);
    assert_eq!(directories.faults().count(), 0);
}

/// The namespace of a terminated process goes without any notification.
#[test]
fn symbolic_links_are_looked_at_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let process = dir.path().join("process");
    symlink(OWN, &process).unwrap();
    let names = tempfile::tempdir().unwrap();
    symlink(&process, names.path().join("blue")).unwrap();
    let mut directories = follow(names.path());
    assert_eq!(directories.list().len(), 1);
    std::fs::remove_file(&process).unwrap();
    let changes = directories.catch_up(directories.deadline().unwrap());
    assert!(matches!(changes[..], [Change::Closed(_)]), "{changes:?}");
    assert_eq!(directories.deadline(), None);
}
