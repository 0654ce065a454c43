//! From facts to outcomes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iface_core::Netns;
use netns_scan::{EngineKind, Fault, FaultKind, Propagation, Status};

use crate::owner::{OwnerStatus, OwnerTallies};

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) subject: &'static str,
    pub(super) outcome: Outcome,
}

/// Whether a precondition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Fulfilled, with the findings.
    Ok(String),
    /// Not configured, with the setting that would.
    Off(String),
    /// It does not.
    Bad { why: String, cure: String },
}

impl Check {
    pub(super) fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, outcome: Outcome::Ok(found.into()) }
    }

    pub(super) fn off(subject: &'static str, how: impl Into<String>) -> Self {
        Self { subject, outcome: Outcome::Off(how.into()) }
    }

    pub(super) fn bad(subject: &'static str, why: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { subject, outcome: Outcome::Bad { why: why.into(), cure: cure.into() } }
    }

    pub(super) fn is_bad(&self) -> bool {
        matches!(self.outcome, Outcome::Bad { .. })
    }
}

/// The kernel's release, as `/proc/sys/kernel/osrelease` has it. Strict checking of dumps, without
/// which a namespace cannot be listed by its nsid, came with 4.20 and is complete since 5.0.
pub(super) fn kernel(release: &str) -> Check {
    let release = release.trim();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(_))) if major >= 5 => Check::ok("kernel", release),
        _ => Check::bad(
            "kernel",
            format!("{release} is older than 5.0, which the engine nsid needs"),
            "add the capability SYS_ADMIN for the engine setns, or use a newer kernel",
        ),
    }
}

/// Numbers of `linux/capability.h`.
const NET_BROADCAST: u32 = 11;
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

/// The effective capabilities in the text of `/proc/self/status`.
pub(super) fn capabilities(status: &str) -> Check {
    let held = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or_default();
    let names: Vec<_> = [(NET_ADMIN, "NET_ADMIN"), (NET_BROADCAST, "NET_BROADCAST"), (SYS_ADMIN, "SYS_ADMIN")]
        .into_iter()
        .filter(|(bit, _)| held & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect();
    let has = |name| names.contains(&name);
    if has("NET_ADMIN") && has("NET_BROADCAST") || has("SYS_ADMIN") {
        return Check::ok("capabilities", names.join(", "));
    }
    let why = if names.is_empty() { "none that help".to_owned() } else { format!("{} alone", names.join(", ")) };
    Check::bad("capabilities", why, "run as root, or add NET_ADMIN and NET_BROADCAST (best) or SYS_ADMIN")
}

/// Checks the engine.
pub(super) fn engine(status: &Status) -> Check {
    match status.engine {
        EngineKind::Nsid | EngineKind::Setns => Check::ok("engine", status.reason.clone()),
        EngineKind::Own => Check::bad("engine", status.reason.clone(), "see capabilities"),
    }
}

/// Tells how namespaces without a name are found.
pub(super) fn unnamed(status: &Status, find: bool) -> Check {
    const SUBJECT: &str = "unnamed";
    match status.engine {
        _ if !find => Check::off(SUBJECT, "namespaces without a name are left out; --find-unnamed true follows them"),
        EngineKind::Nsid => Check::ok(
            SUBJECT,
            "namespaces without a name are found by their nsid once veths connect them to the host; without a veth, as \
             with SR-IOV and macvlan, only a name or --proc leads to a namespace",
        ),
        EngineKind::Setns | EngineKind::Own => {
            Check::off(SUBJECT, "namespaces without a name are not found; --engine nsid finds them")
        }
    }
}

/// Checks that a `/proc` shows the node's processes; `second` is the content of `2/comm` there.
pub(super) fn processes(proc: Option<&Path>, second: Option<&str>) -> Check {
    const SUBJECT: &str = "processes";
    let Some(proc) = proc else {
        return Check::off(SUBJECT, "namespaces that only processes lead to are not found; --proc /proc finds them");
    };
    let proc = proc.display();
    // The second process that Linux starts; in any other PID namespace the number is a program's.
    match second.map(str::trim) {
        Some("kthreadd") => Check::ok(SUBJECT, format!("{proc} leads to the namespaces of the node's processes")),
        _ => Check::bad(
            SUBJECT,
            format!("{proc} does not show the node's processes, so their namespaces stay unknown"),
            "run the agent in the PID namespace of the node (hostPID: true), or mount the node's /proc and name it",
        ),
    }
}

/// Maximum number of faults of one kind to print.
const SHOWN: usize = 5;

/// Checks that all namespaces can be seen.
pub(super) fn namespaces(status: &Status) -> Vec<Check> {
    let count = |number: usize, word| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let found = format!("{}, {}", count(status.namespaces, "namespace"), count(status.interfaces, "interface"));
    let fault = |fault: &Fault| {
        let why = format!("{}: {}", fault.subject.display(), fault.error);
        Check::bad("namespaces", why, remedy(fault.kind))
    };
    let mut checks = vec![Check::ok("namespaces", found)];
    // Without an engine, no namespace can be reached, and the check of the engine has reported so.
    if status.engine != EngineKind::Own {
        checks.extend(status.faults.iter().take(SHOWN).map(fault));
        let more = status.faults.len().saturating_sub(SHOWN);
        checks.extend((more > 0).then(|| Check::bad("namespaces", format!("and {more} more"), "see above")));
    }
    checks
}

/// The remedy for a fault; the text of the fault has the details.
fn remedy(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Name => "remove the file, or leave it: nothing else is hidden",
        FaultKind::Directory => "make the directory readable; until then only names of mounts are followed",
        FaultKind::Namespace => "mend the cause that is named; the namespace is tried again",
        FaultKind::Unnamed => "use --engine nsid; or --find-unnamed false, if they do not matter",
        FaultKind::Incomplete => "remove alternative names in the namespace; its known interfaces are followed",
    }
}

/// Checks that namespaces mounted by a container runtime on the node appear in this directory.
pub(super) fn mounts(dir: &Path, found: io::Result<Propagation>) -> Check {
    const SUBJECT: &str = "mounts";
    let dir = dir.display();
    match found {
        Ok(Propagation::Arrive) => Check::ok(SUBJECT, format!("{dir}: mounts made elsewhere arrive")),
        Ok(Propagation::Volume) => Check::bad(
            SUBJECT,
            format!("{dir} is a private mount: namespaces made after it never arrive"),
            "mount it with HostToContainer; on the node its mount must be shared",
        ),
        Ok(Propagation::Private) => {
            Check::ok(SUBJECT, format!("{dir}: private, as is fine where namespaces are made in this mount namespace"))
        }
        Err(error) => Check::off(SUBJECT, format!("{dir}: {error}; followed once it is there")),
    }
}

/// Checks that CNI results can be read and exist for `namespaces`, which include the host's.
pub(super) fn cni_cache(dirs: &[PathBuf], missing: bool, namespaces: usize, owners: &OwnerStatus) -> Check {
    const SUBJECT: &str = "CNI cache";
    if dirs.is_empty() {
        return Check::off(SUBJECT, "not used; --cni-cache-dir /var/lib/cni/results names pods at once");
    }
    let dirs = dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    if let Some(fault) = owners.cache_faults.first() {
        return if missing {
            Check::off(SUBJECT, fault.as_str())
        } else {
            Check::bad(SUBJECT, fault.as_str(), "run as root; in Kubernetes mount the node's directory read-only")
        };
    }
    let OwnerTallies { files, proven_files, foreign_files, left_over_files, refused_files, .. } = owners.tallies;
    let unused = files - proven_files + left_over_files;
    let found = format!(
        "{dirs}: {proven_files} results in use, {unused} not, {foreign_files} of others, {refused_files} refused"
    );
    if namespaces <= 1 || proven_files > 0 {
        return Check::ok(SUBJECT, found);
    }
    let why = if unused > 0 {
        "left over, or about namespaces in directories that are not followed (--netns-dir)"
    } else if refused_files > 0 {
        "the log names each refused file and the reason"
    } else if foreign_files > 0 {
        "no result here is a pod's; containers of podman and others share the directory"
    } else {
        let how = "no results, though there are namespaces; --cni-cache-dir names where this runtime keeps them";
        return Check::off(SUBJECT, format!("{dirs}: {how}"));
    };
    Check::off(SUBJECT, format!("{found}; {why}"))
}

/// The pods in the namespaces of this node, as CNI results name the pods.
#[derive(Clone, Debug, Default)]
pub(super) struct PodsHere {
    /// Namespace and name of each pod, and a network namespace of the pod.
    pub(super) pods: BTreeMap<(String, String), Arc<Netns>>,
    /// Namespaces beside the host's.
    pub(super) namespaces: usize,
}

/// Checks that the pods that the API server lists for `node` are the pods of this node. `holders` names the processes
/// of a namespace whose pod is not listed.
pub(super) fn node_name(
    node: &str,
    listed: &BTreeSet<(String, String)>,
    here: &PodsHere,
    holders: impl Fn(&Netns) -> String,
) -> Check {
    const SUBJECT: &str = "API server";
    const CURE: &str = "set --node-name to this node's name in `kubectl get nodes`";
    if listed.is_empty() && here.namespaces > 0 {
        return Check::bad(SUBJECT, format!("no pods of {node}, although there are namespaces"), CURE);
    }
    let unknown: Vec<_> = here.pods.iter().filter(|(pod, _)| !listed.contains(*pod)).collect();
    if !unknown.is_empty() && unknown.len() == here.pods.len() {
        let pods = unknown.len();
        return Check::bad(SUBJECT, format!("none of the {pods} pods in namespaces here is a pod of {node}"), CURE);
    }
    if unknown.is_empty() {
        return Check::ok(SUBJECT, format!("pods of {node} can be listed"));
    }
    let left_over = |((namespace, name), netns): &(&(String, String), &Arc<Netns>)| {
        format!("{namespace}/{name} ({}, {})", netns.place, holders(netns))
    };
    let (number, first) = (unknown.len(), unknown.iter().take(3).map(left_over).collect::<Vec<_>>().join("; "));
    let text =
        format!("pods of {node} can be listed; {number} namespaces here are of pods that it does not know: {first}");
    Check::ok(SUBJECT, text)
}

#[cfg(test)]
mod tests {
    use iface_core::{NetnsId, NetnsName, Place};

    use super::*;

    fn pod(name: &str) -> (String, String) {
        ("shop".to_owned(), name.to_owned())
    }

    fn netns(number: u64, name: &str) -> Arc<Netns> {
        Arc::new(Netns::new(NetnsId(number), Place::Named(NetnsName::new(name))))
    }

    #[test]
    fn kernel_before_5_0_needs_setns() {
        assert!(!kernel("6.18.44-generic\n").is_bad());
        assert!(!kernel("5.0.0\n").is_bad());
        assert!(kernel("4.19.0-27-amd64\n").is_bad());
        assert!(kernel("").is_bad());
    }

    #[test]
    fn one_engine_needs_all_its_capabilities() {
        for enough in
            ["CapEff:\t0000000000001800", "CapEff:\t0000000000200000", "Name:\tx\nCapEff:\t000001ffffffffff\n"]
        {
            assert!(!capabilities(enough).is_bad(), "{enough}");
        }
        for little in ["CapEff:\t0000000000001000", "CapEff:\t0000000000000000", "CapEff:\tzz", ""] {
            assert!(capabilities(little).is_bad(), "{little}");
        }
    }

    /// Only the PID namespace of the node has the kernel's threads.
    #[test]
    fn a_proc_must_show_the_node() {
        assert!(matches!(processes(None, None).outcome, Outcome::Off(_)));
        assert!(matches!(processes(Some("/proc".as_ref()), Some("kthreadd\n")).outcome, Outcome::Ok(_)));
        for other in [Some("pause\n"), None] {
            assert!(processes(Some("/proc".as_ref()), other).is_bad());
        }
    }

    #[test]
    fn cni_cache_used_missing_or_faulty() {
        let fault = |text: &str| OwnerStatus { cache_faults: vec![text.into()], ..OwnerStatus::default() };
        let none = OwnerStatus::default();
        assert!(matches!(cni_cache(&[], true, 1, &none).outcome, Outcome::Off(_)));
        assert!(matches!(cni_cache(&["/".into()], false, 1, &none).outcome, Outcome::Ok(_)));
        assert!(cni_cache(&["/".into()], false, 1, &fault("cannot be read")).is_bad());
        assert!(matches!(cni_cache(&["/x".into()], true, 1, &fault("is not there")).outcome, Outcome::Off(_)));
    }

    #[test]
    fn namespaces_without_results_are_a_fault() {
        let outcome = cni_cache(&["/x".into()], false, 2, &OwnerStatus::default()).outcome;
        assert!(matches!(outcome, Outcome::Off(how) if how.contains("--cni-cache-dir")));
    }

    /// Files that are there are counted, with the reason why none is used, and the path is not in doubt.
    #[test]
    fn unused_results_have_a_reason() {
        let tallies = |files, left_over_files, foreign_files, refused_files| {
            let tallies =
                OwnerTallies { files, left_over_files, foreign_files, refused_files, ..OwnerTallies::default() };
            let owners = OwnerStatus { tallies, ..OwnerStatus::default() };
            cni_cache(&["/x".into()], false, 2, &owners).outcome
        };
        for (outcome, why) in [
            (tallies(3, 0, 0, 0), "left over"),
            (tallies(0, 3, 0, 0), "left over"),
            (tallies(0, 0, 0, 2), "refused file"),
            (tallies(0, 0, 4, 0), "is a pod's"),
        ] {
            let Outcome::Off(text) = outcome else { panic!("{why}: {outcome:?}") };
            assert!(text.starts_with("/x: ") && text.contains(why) && !text.contains("--cni-cache-dir"), "{text}");
        }
        let tallies = OwnerTallies { files: 3, proven_files: 2, ..OwnerTallies::default() };
        let owners = OwnerStatus { tallies, ..OwnerStatus::default() };
        let outcome = cni_cache(&["/x".into()], false, 2, &owners).outcome;
        assert!(matches!(outcome, Outcome::Ok(text) if text.contains("2 results in use, 1 not")));
    }

    #[test]
    fn private_mount_hides_namespaces() {
        let check = |found| mounts(Path::new("/var/run/netns"), found);
        assert!(matches!(check(Ok(Propagation::Arrive)).outcome, Outcome::Ok(found) if found.contains("arrive")));
        assert!(matches!(check(Ok(Propagation::Private)).outcome, Outcome::Ok(found) if found.contains("private")));
        assert!(matches!(check(Ok(Propagation::Volume)).outcome, Outcome::Bad { cure, .. } if cure.contains("HostTo")));
        assert!(matches!(check(Err(io::ErrorKind::NotFound.into())).outcome, Outcome::Off(_)));
    }

    #[test]
    fn node_name_selects_pods_of_this_node() {
        let pods = |names: &[&str]| -> BTreeSet<_> { names.iter().map(|name| pod(name)).collect() };
        let here = |names, namespaces| {
            let pods = pods(names).into_iter().map(|pod| (pod, netns(7, "cni-a"))).collect();
            PodsHere { pods, namespaces }
        };
        for (listed, here, bad) in [
            (pods(&["a", "b"]), here(&["a", "leaked"], 3), false),
            (pods(&["a"]), here(&[], 1), false),
            (pods(&[]), here(&[], 0), false),
            (pods(&[]), here(&[], 1), true),
            (pods(&["other"]), here(&["a"], 1), true),
        ] {
            let check = node_name("n", &listed, &here, |_| String::new());
            assert_eq!(check.is_bad(), bad, "{listed:?} {here:?}");
        }
    }

    #[test]
    fn own_namespace_only_has_a_reason() {
        let mut status = Status::new(EngineKind::Own, "add NET_ADMIN".into());
        status.interfaces = 2;
        assert!(matches!(engine(&status).outcome, Outcome::Bad { why, .. } if why == "add NET_ADMIN"));
        assert_eq!(namespaces(&status), [Check::ok("namespaces", "1 namespace, 2 interfaces")]);
    }

    /// A pod that the API server does not know is named with its namespace and the processes inside.
    #[test]
    fn unknown_pods_come_with_their_holders() {
        let pods = [(pod("web-0"), netns(7, "cni-a")), (pod("db-0"), netns(8, "cni-b"))];
        let here = PodsHere { pods: pods.into(), namespaces: 2 };
        let found = |listed: &[&str]| {
            let listed = listed.iter().copied().map(pod).collect();
            node_name("n", &listed, &here, |netns| format!("held by {}", netns.id.0)).outcome
        };
        let Outcome::Ok(text) = found(&["web-0"]) else { panic!("a left-over namespace is no missing precondition") };
        assert!(text.contains("1 namespaces here") && text.ends_with("shop/db-0 (cni-b, held by 8)"), "{text}");
        assert!(matches!(found(&["web-0", "db-0"]), Outcome::Ok(text) if !text.contains("not know")));
        assert!(matches!(found(&["other"]), Outcome::Bad { .. }) && matches!(found(&[]), Outcome::Bad { .. }));
    }
}
