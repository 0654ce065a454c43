use std::fs;

use netns_testbed::{LinkChange, NetnsDir, Test, tests};
use serde_json::{Value, json};

use crate::program::{Listen, Running, command};
use crate::scene::Scene;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        existing_interfaces_precede_synced,
        rename_and_new_mac,
        deleted_namespace_deletes_interfaces_once,
        late_cni_file_updates_the_owner,
        selected_pod_is_added_once_known,
        late_owner_moves_the_interface,
        watch_ends_with_its_reader,
        watch_tells_of_faults,
    ]
    .into()
}

fn watch(scene: &Scene) -> Running {
    let cni = scene.cni.display().to_string();
    Running::start(command(&["watch", "-o", "json", "--cni-cache-dir", &cni]), Listen::Output)
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect("each line is an object")
}

fn is(line: &str, event: &str, name: &str) -> bool {
    let line = parsed(line);
    line["event"] == event && line["interface"]["name"] == name
}

fn existing_interfaces_precede_synced() {
    let scene = Scene::new();
    let lines = watch(&scene).until(|line| parsed(line)["event"] == "Synced");
    let (last, before) = lines.split_last().unwrap();
    assert_eq!(parsed(last), json!({"event": "Synced"}));
    assert!(before.iter().all(|line| parsed(line)["event"] == "Added"), "{before:?}");
    let tagged = before.iter().map(|line| parsed(line)).filter(|line| line["interface"]["name"] == "eth0");
    assert!(tagged.filter(|line| !line["interface"]["pod"].is_null()).count() == 3, "{before:?}");
}

fn rename_and_new_mac() {
    let scene = Scene::new();
    let watch = watch(&scene);
    watch.until(|line| parsed(line)["event"] == "Synced");
    let rtnl = scene.pods[0].netns.rtnl();
    rtnl.set("eth0", LinkChange::Mac([2, 0, 0, 0, 0, 9]));
    let update = watch.until(|line| is(line, "Updated", "eth0") && line.contains("\"mac\""));
    let update = parsed(update.last().unwrap());
    assert_eq!(update["interface"]["mac"], "02:00:00:00:00:09");
    assert!(update["changed"].as_array().unwrap().contains(&json!("mac")), "{update}");
    assert!(update["time"].as_str().unwrap().ends_with('Z'), "{update}");
    rtnl.set("eth0", LinkChange::Name("net9"));
    let lines = watch.until(|line| is(line, "Added", "net9"));
    assert!(lines.iter().any(|line| is(line, "Deleted", "eth0")), "{lines:?}");
}

fn deleted_namespace_deletes_interfaces_once() {
    let mut scene = Scene::new();
    let watch = watch(&scene);
    watch.until(|line| parsed(line)["event"] == "Synced");
    let pod = scene.pods.remove(0);
    let (name, host) = (pod.netns.name().to_owned(), pod.veth.host().to_owned());
    pod.netns.delete();
    // The deletion of the peer on the host shows that the namespace is dead.
    let lines = watch.until(|line| is(line, "Deleted", &host));
    let scene_end = watch_until_quiet(&watch, &lines, &name);
    assert_eq!(scene_end, 1, "{lines:?}");
}

/// Counts the deletions of `eth0` of this namespace, from the first on.
fn watch_until_quiet(watch: &Running, before: &[String], netns: &str) -> usize {
    let deleted = |line: &str| is(line, "Deleted", "eth0") && parsed(line)["interface"]["netns"]["name"] == netns;
    let count = before.iter().filter(|line| deleted(line)).count();
    if count > 0 { count } else { watch.until(deleted).iter().filter(|line| deleted(line)).count() }
}

fn late_cni_file_updates_the_owner() {
    let scene = Scene::new();
    let file = scene.cni.join("cbr0-container-web-0-eth0");
    let late = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let watch = watch(&scene);
    let before = watch.until(|line| parsed(line)["event"] == "Synced");
    assert!(!before.iter().any(|line| line.contains("web-0")), "{before:?}");
    fs::write(&file, late).unwrap();
    let lines = watch.until(|line| is(line, "Updated", "eth0") && line.contains("web-0"));
    assert!(parsed(lines.last().unwrap())["changed"].as_array().unwrap().contains(&json!("owner")));
}

/// With a selector, an interface is `Added` when its pod becomes known, and `Deleted` when nothing of the pod is left.
fn selected_pod_is_added_once_known() {
    let scene = Scene::new();
    let file = scene.cni.join("cbr0-container-web-0-eth0");
    let late = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let cni = scene.cni.display().to_string();
    let select = ["watch", "-o", "json", "-n", "default", "--pod", "web-0", "--cni-cache-dir", &cni];
    let watch = Running::start(command(&select), Listen::Output);
    let before = watch.until(|line| parsed(line)["event"] == "Synced");
    assert_eq!(before.len(), 1, "{before:?}");
    fs::write(&file, late).unwrap();
    let lines = watch.until(|line| is(line, "Added", "eth0"));
    assert!(lines.iter().all(|line| parsed(line)["event"] == "Added"), "{lines:?}");
}

/// The filter by owner follows the owner: an interface comes or goes when its pod becomes known.
fn late_owner_moves_the_interface() {
    let scene = Scene::new();
    let file = scene.cni.join("cbr0-container-web-0-eth0");
    let late = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let cni = scene.cni.display().to_string();
    let follow = |more: &[&str]| {
        let watch = [&["watch", "-o", "json", "--cni-cache-dir", &cni], more].concat();
        let watch = Running::start(command(&watch), Listen::Output);
        let before = watch.until(|line| parsed(line)["event"] == "Synced");
        (watch, before.iter().filter(|line| is(line, "Added", "eth0")).count())
    };
    let (included, of_one) = follow(&["--include-owner", "default/web-0,/^kube-/"]);
    let (excluded, of_two) = follow(&["--exclude-owner", "/web-0/,default/db-0"]);
    assert_eq!((of_one, of_two), (0, 2));
    fs::write(&file, late).unwrap();
    let end = scene.pods[0].veth.host();
    for name in ["eth0", end] {
        let lines = included.until(|line| line.contains(&format!(r#""name":"{name}""#)) && line.contains("web-0"));
        assert!(is(lines.last().unwrap(), "Added", name), "{lines:?}");
        let lines = excluded.until(|line| is(line, "Deleted", name));
        assert!(!lines.iter().any(|line| is(line, "Updated", name)), "{lines:?}");
    }
}

fn watch_ends_with_its_reader() {
    use std::io::{BufRead as _, BufReader};
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let mut child = command(&["watch", "--cni-cache-dir", &cni])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// A fault that begins while `watch` runs is told on standard error, and so is its end.
fn watch_tells_of_faults() {
    let dir = NetnsDir::standard();
    let _before = dir.alias("before", "/proc/self/ns/uts".as_ref());
    let watch = Running::start(command(&["watch", "--cni-cache-dir="]), Listen::Errors);
    watch.until(|line| line.contains("not seen: /var/run/netns/before: "));
    let later = dir.alias("later", "/proc/self/ns/uts".as_ref());
    watch.until(|line| line.contains("not seen: /var/run/netns/later: "));
    drop(later);
    watch.until(|line| line.contains("no longer a fault: /var/run/netns/later"));
}
