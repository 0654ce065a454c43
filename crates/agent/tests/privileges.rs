//! Interfaces seen with different capabilities: the chart's are enough, and without any it
//! says so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode, Output, Stdio};

use netns_testbed::{Netns, NetnsDir, Rtnl, Suite, Veth, tests};

fn main() -> ExitCode {
    Suite::new()
        .tests(tests![
            nsid_needs_two_capabilities,
            sys_admin_alone_sees_everything_by_setns,
            missing_capabilities_are_one_line,
            doctor_says_which_capabilities_to_add,
            unlistable_directories_are_read_from_mounts,
            unnamed_namespaces_need_no_mount,
            processes_need_one_capability_more,
        ])
        .main()
}

/// Runs the program with these capabilities and no other.
fn with_capabilities(capabilities: &[&str], arguments: &[&str]) -> Output {
    let bounding: String = capabilities.iter().map(|capability| format!(",+{capability}")).collect();
    Command::new("setpriv")
        .args(["--inh-caps=-all", &format!("--bounding-set=-all{bounding}")])
        .arg(env!("CARGO_BIN_EXE_netns-agent"))
        .args(arguments)
        .output()
        .expect("setpriv runs (util-linux)")
}

/// Two namespaces, one with a veth to the own one.
fn scene() -> (Vec<Netns>, Veth) {
    let dir = NetnsDir::standard();
    let namespaces = vec![dir.add("blue"), dir.add("green")];
    let veth = Veth::up("host0", &namespaces[0], "eth0");
    (namespaces, veth)
}

/// (namespace, interface, peer's name) of everything listed; the host's namespace has no name.
fn listed(output: &Output) -> Vec<(Option<String>, String, Option<String>)> {
    assert!(output.status.success(), "{}", stderr(output));
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let row = |one: &serde_json::Value| {
        (text(&one["netns"]["name"]), text(&one["name"]).unwrap(), text(&one["peer"]["name"]))
    };
    let mut rows: Vec<_> = list.as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

fn everything() -> Vec<(Option<String>, String, Option<String>)> {
    let row = |netns: Option<&str>, name: &str, peer: Option<&str>| {
        (netns.map(str::to_owned), name.to_owned(), peer.map(str::to_owned))
    };
    vec![
        row(None, "host0", Some("eth0")),
        row(None, "lo", None),
        row(Some("blue"), "eth0", Some("host0")),
        row(Some("blue"), "lo", None),
        row(Some("green"), "lo", None),
    ]
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn nsid_needs_two_capabilities() {
    let _scene = scene();
    let output = with_capabilities(
        &["net_admin", "net_broadcast"],
        &["list", "-o", "json", "--exclude-interfaces=", "--engine", "nsid"],
    );
    assert_eq!(listed(&output), everything());
    let auto = with_capabilities(&["net_admin", "net_broadcast"], &["list", "-o", "json", "--exclude-interfaces="]);
    assert_eq!(listed(&auto), everything());
}

fn sys_admin_alone_sees_everything_by_setns() {
    let _scene = scene();
    let output =
        with_capabilities(&["sys_admin"], &["list", "-o", "json", "--exclude-interfaces=", "--engine", "setns"]);
    assert_eq!(listed(&output), everything());
}

fn missing_capabilities_are_one_line() {
    let _scene = scene();
    let output = with_capabilities(&[], &["list", "-o", "json", "--exclude-interfaces="]);
    let own: Vec<String> = listed(&output).into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(own, ["host0", "lo"]);
    let said = stderr(&output);
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("NET_ADMIN and NET_BROADCAST") && said.contains("SYS_ADMIN"), "{said}");
}

fn doctor_says_which_capabilities_to_add() {
    let _scene = scene();
    let output = with_capabilities(&[], &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("NET_ADMIN and NET_BROADCAST"), "{said}");
    let enough = with_capabilities(&["net_admin", "net_broadcast"], &["doctor"]);
    let said = String::from_utf8_lossy(&enough.stdout).into_owned();
    let line = |start: &str| said.lines().any(|line| line.starts_with("ok") && line.contains(start));
    assert!(line("capabilities") && line("nsid"), "{said}");
}

/// A directory that may be searched but not listed is a fault, and the names of its mounts are followed
/// all the same.
fn unlistable_directories_are_read_from_mounts() {
    let _scene = scene();
    std::fs::set_permissions("/run/netns", std::fs::Permissions::from_mode(0o111)).unwrap();
    let output = with_capabilities(&["net_admin", "net_broadcast"], &["list", "-o", "name", "--exclude-interfaces="]);
    let (names, said) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    assert_eq!(names, "host/lo\nhost/host0\nblue/lo\nblue/eth0\ngreen/lo\n", "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot list the directory") && said.contains("spc_t"), "{said}");
}

/// No directory of names, no CNI results, no records of containers: two capabilities are enough for what veths
/// connect to the host.
fn unnamed_namespaces_need_no_mount() {
    let unnamed: Vec<Netns> = (0..50)
        .map(|number| {
            let netns = Netns::unnamed();
            Rtnl::new().add_veth(&format!("host{number}"), "eth0", Some(netns.path()));
            netns
        })
        .collect();
    let nothing = ["--netns-dir=/run/nowhere", "--cni-cache-dir=", "--container-dir=", "--watch-pods=false"];
    let arguments = [&["list", "-o", "name", "--exclude-interfaces="][..], &nothing].concat();
    let output = with_capabilities(&["net_admin", "net_broadcast"], &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let names = String::from_utf8(output.stdout).unwrap();
    for (number, netns) in unnamed.iter().enumerate() {
        for line in [format!("host/host{number}"), format!("{}/eth0", netns.place()), format!("{}/lo", netns.place())] {
            assert!(names.lines().any(|name| name == line), "{line} is not in {names}");
        }
    }
    assert_eq!(names.lines().count(), 1 + 50 * 3);
}

/// The namespace of a process with more capabilities than the agent's is not told without SYS_PTRACE.
fn processes_need_one_capability_more() {
    let mut process = Command::new("unshare")
        .args(["--net", "sleep", "infinity"])
        .stdin(Stdio::null())
        .spawn()
        .expect("unshare runs (util-linux)");
    let at = format!("/proc/{}", process.id());
    while std::fs::read_to_string(format!("{at}/comm")).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    // Only this process: those of the machine are out of reach from the test's user namespace.
    std::fs::create_dir("/run/proc").unwrap();
    std::os::unix::fs::symlink(&at, format!("/run/proc/{}", process.id())).unwrap();
    let inside = std::fs::read_link(format!("{at}/ns/net")).unwrap();
    let arguments = ["list", "-o", "name", "--exclude-interfaces=", "--cni-cache-dir=", "--proc", "/run/proc"];
    let without = with_capabilities(&["net_admin", "net_broadcast"], &arguments);
    let with = with_capabilities(&["net_admin", "net_broadcast", "sys_ptrace"], &arguments);
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!((without.status.code(), &*without.stdout), (Some(1), &b"host/lo\n"[..]), "{}", stderr(&without));
    assert!(stderr(&without).contains("SYS_PTRACE"), "{}", stderr(&without));
    let names = String::from_utf8_lossy(&with.stdout).into_owned();
    assert_eq!(names, format!("host/lo\n{}/lo\n", inside.display()), "{}", stderr(&with));
    assert!(with.status.success(), "{}", stderr(&with));
}
