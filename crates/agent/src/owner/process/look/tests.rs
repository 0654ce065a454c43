use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000000";

fn file(inode: u64) -> NsFile {
    NsFile { dev: 4, inode }
}

fn podless(files: impl IntoIterator<Item = NsFile>) -> BTreeMap<NsFile, Podless> {
    let files = files.into_iter().enumerate();
    files.map(|(number, file)| (file, Podless { id: NetnsId(number as u64 + 1), is_named: true })).collect()
}

/// The pods of the namespaces 1, 2, … by pairs of namespace and pod.
fn proven<const N: usize>(processes: &[(u64, &str)]) -> [Option<String>; N] {
    let look: Look = processes.iter().map(|(inode, pod)| (file(*inode), Arc::from(*pod))).collect();
    let about = look.about(&podless((1..=N as u64).map(file)));
    let pods: Vec<_> = about.into_iter().map(|(_, inside)| inside.pod.map(|pod| pod.to_string())).collect();
    pods.try_into().unwrap()
}

/// Exactly one pod inside, and inside nowhere else.
#[test]
fn only_one_to_one_proves() {
    for (processes, expected) in [
        (&[][..], [None, None]),
        (&[(1, A)], [Some(A), None]),
        (&[(1, A), (1, A), (1, A)], [Some(A), None]),
        (&[(1, A), (2, B)], [Some(A), Some(B)]),
        // A visitor from another pod, with its own namespace among those without a pod or not.
        (&[(1, A), (1, B)], [None, None]),
        (&[(1, A), (1, B), (2, B)], [None, None]),
        (&[(1, B), (2, B)], [None, None]),
        // A nested namespace; a namespace that the agent does not know counts as well.
        (&[(1, A), (9, A)], [None, None]),
        (&[(1, A), (9, B)], [Some(A), None]),
        (&[(9, A)], [None, None]),
    ] {
        assert_eq!(proven(processes), expected.map(|pod| pod.map(str::to_owned)), "{processes:?}");
    }
}

/// A directory like `/proc`. The files of namespaces are plain, as any file has device and inode.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uptime"), "1.00 1.00").unwrap();
        Self(dir)
    }

    fn netns(&self, name: &str) -> (PathBuf, NsFile) {
        let path = self.0.path().join(name);
        fs::write(&path, "").unwrap();
        let file = space_at(&path).unwrap();
        (path, file)
    }

    fn process(&self, pid: u32, netns: &Path, cgroup: &str) {
        let process = self.0.path().join(pid.to_string());
        fs::create_dir_all(process.join("ns")).unwrap();
        symlink(netns, process.join("ns/net")).unwrap();
        fs::write(process.join("cgroup"), cgroup).unwrap();
    }
}

#[test]
fn processes_are_read_with_cgroups() {
    let proc = Proc::new();
    let [(web, of_web), (db, of_db), (host, of_host)] = ["web", "db", "host"].map(|name| proc.netns(name));
    let cgroup = |uid: &str| format!("0::/kubepods/burstable/pod{uid}/c\n");
    proc.process(2, &web, &cgroup(A));
    proc.process(3, &web, "0::/system.slice/crio-conmon.scope\n");
    proc.process(4, &db, &cgroup(B));
    proc.process(5, &db, "0::/user.slice/user-0.slice/session-1.scope\n");
    proc.process(6, &host, &cgroup(A));
    proc.process(7, Path::new("/gone"), &cgroup(A));
    fs::create_dir(proc.0.path().join("8")).unwrap();
    let look = Look::new(proc.0.path(), Some(of_host));
    assert_eq!(look, [(of_web, A.into()), (of_db, B.into())].into_iter().collect());
    let sought = podless([of_web]);
    let inside = Inside { id: NetnsId(1), file: of_web, pod: Some(A.into()) };
    assert_eq!(look.about(&sought), [(sought[&of_web], inside)]);
    // A process of the pod in the host's namespace says nothing, unless that is unknown.
    let with_host = Look::new(proc.0.path(), None);
    assert_eq!(with_host.about(&sought)[0].1.pod, None);
    assert_eq!(Look::new(Path::new("/nowhere"), None), Look::default());
}
