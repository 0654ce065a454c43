use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use netns_testbed::{NetnsDir, Rtnl, Test, tests};
use serde_json::{Value, json};

use crate::program::{listed, output, stdout};
use crate::scene::{Pod, Scene};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        json_lists_all_interfaces_with_pods,
        tables_are_whole_in_pipes,
        selectors_and_name_output,
        namespaces_and_host_ends_are_filtered,
        owners_are_filtered,
        missing_names_and_empty_tables_are_explained,
        broken_cni_file_harms_no_other,
        hidden_interfaces_fail_the_list,
        other_directories_need_no_flag,
    ]
    .into()
}

fn json_lists_all_interfaces_with_pods() {
    let scene = Scene::new();
    let list = listed(&scene.cni, &[]);
    let place =
        |one: &Value| (one["netns"]["name"].as_str().map(str::to_owned), one["name"].as_str().unwrap().to_owned());
    let found: BTreeSet<_> = list.iter().map(place).filter(|(_, name)| name != "lo").collect();
    let hosts = scene.pods.iter().map(|pod| (None, pod.veth.host().to_owned()));
    let inside = scene.pods.iter().map(|pod| (Some(pod.netns.name().to_owned()), "eth0".to_owned()));
    assert_eq!(found, hosts.chain(inside).collect());
    for (number, pod) in scene.pods.iter().enumerate() {
        let (dev, inode) = pod.netns.identity();
        let fields = json!([pod.netns.name(), dev, inode, false]);
        let is_its = |netns: &Value| json!([netns["name"], netns["dev"], netns["inode"], netns["host"]]) == fields;
        let one = list.iter().find(|one| is_its(&one["netns"]) && one["name"] == "eth0").expect("it is listed");
        assert_eq!(one["mac"], format!("0a:58:0a:f4:00:0{}", number + 5));
        assert_eq!((&one["kind"], &one["oper_state"], &one["admin_up"]), (&json!("veth"), &json!("up"), &json!(true)));
        let addresses: Vec<_> = one["addresses"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(addresses.contains(&format!("10.244.0.{}/24", number + 5).as_str()), "{addresses:?}");
        assert_eq!((&one["peer"]["netns"], &one["peer"]["name"]), (&json!("host"), &json!(pod.veth.host())));
        assert_eq!(one["network"], "cbr0");
        let owner = &one["pod"];
        assert_eq!((&owner["namespace"], &owner["name"]), (&json!("default"), &json!(pod.name)));
        assert_eq!((&owner["uid"], &owner["source"]), (&json!(pod.uid()), &json!("cni-cache")));
    }
}

fn tables_are_whole_in_pipes() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let table = stdout(&["list", "--cni-cache-dir", &cni]);
    assert!(table.starts_with("NETNS "), "{table}");
    // A pipe has no width, and grep needs names as they are.
    assert!(!table.contains('…') && table.contains(scene.pods[0].netns.name()), "{table}");
    assert!(table.contains("default/web-0") && table.contains("cbr0"), "{table}");
    assert!(!table.contains('\x1b'), "colours in a pipe: {table}");
    let wide = stdout(&["list", "--cni-cache-dir", &cni, "-o", "wide", "--no-headers"]);
    let whole = [scene.pods[0].netns.name(), "cni-cache", "10.244.0.5/24", "host/veth0"];
    assert!(wide.lines().any(|line| whole.iter().all(|part| line.contains(part))), "{wide}");
    assert!(!wide.contains("NETNS "), "{wide}");
    // The kubectl plugin merges these lines by heading.
    let tsv = stdout(&["list", "--cni-cache-dir", &cni, "-o", "tsv"]);
    let headings: Vec<_> = tsv.lines().next().unwrap().split('\t').collect();
    let plugin = ["NETNS", "INTERFACE", "STATE", "MAC", "POD", "NETWORK"];
    assert!(plugin.iter().all(|heading| headings.contains(heading)), "{tsv}");
    assert!(tsv.lines().all(|line| line.split('\t').count() == headings.len()), "{tsv}");
    let yaml = stdout(&["list", "--cni-cache-dir", &cni, "-o", "yaml"]);
    assert!(
        ["web-0", "0a:58:0a:f4:00:05"]
            .iter()
            .all(|text| yaml.contains(&format!("\"{text}\"")) || yaml.contains(&format!("'{text}'"))),
        "{yaml}"
    );
}

fn selectors_and_name_output() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let names = |more: &[&str]| stdout(&[&["list", "-o", "name", "--cni-cache-dir", &cni], more].concat());
    let first = &scene.pods[0];
    let inside = format!("{}/eth0\n", first.netns.name());
    assert_eq!(names(&["--pod", "web-0", "--netns", first.netns.name(), "eth0"]), inside);
    assert_eq!(names(&["-n", "kube-system"]), "");
    assert_eq!(names(&["--netns", "host", "--kind", "veth"]), "host/veth0\nhost/veth1\nhost/veth2\n");
    assert_eq!(names(&["-n", "default", "--network", "cbr0", "eth0"]).lines().count(), 3);
    Rtnl::new().add_alt_name("veth1", "a-name-of-more-than-15-bytes");
    assert_eq!(names(&["a-name-of-more-than-15-bytes"]), "host/veth1\n");
    let others = names(&["--exclude-interfaces", "lo,/^a-name-of-/", "--kind", "veth", "--netns", "host"]);
    assert_eq!(others, "host/veth0\nhost/veth2\n");
}

/// Namespaces and host ends are left out whatever their interfaces are called.
fn namespaces_and_host_ends_are_filtered() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let names = |more: &[&str]| stdout(&[&["list", "-o", "name", "--cni-cache-dir", &cni], more].concat());
    let (first, others) = scene.pods.split_first().unwrap();
    let inside = |pods: &[Pod]| pods.iter().map(|pod| format!("{}/eth0\n", pod.netns.name())).collect::<String>();
    let pattern = format!("/^{}$/", first.netns.name());
    assert_eq!(names(&["--include-netns", &pattern]), inside(&scene.pods[..1]));
    assert_eq!(names(&["--netns", &pattern]), inside(&scene.pods[..1]));
    assert_eq!(names(&["--netns", &first.netns.identity().1.to_string()]), inside(&scene.pods[..1]));
    assert_eq!(names(&["--exclude-netns", first.netns.name(), "eth0"]), inside(others));
    assert_eq!(names(&["--exclude-host-ends", "true"]), inside(&scene.pods));
    assert_eq!(names(&["--exclude-host-ends", "metrics", "--netns", "host"]).lines().count(), 3);
}

/// Both ends of a pod's link have the owner; the rest of the host has none.
fn owners_are_filtered() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let names = |more: &[&str]| stdout(&[&["list", "-o", "name", "--cni-cache-dir", &cni], more].concat());
    let (first, others) = scene.pods.split_first().unwrap();
    let inside = |pods: &[Pod]| pods.iter().map(|pod| format!("{}/eth0\n", pod.netns.name())).collect::<String>();
    assert_eq!(names(&["--include-owner", "default/web-0", "eth0"]), inside(&scene.pods[..1]));
    assert_eq!(names(&["--include-owner", "default/web-0", "--kind", "veth"]).lines().count(), 2);
    assert_eq!(names(&["--include-owner", "default/*,shop/web-0", "eth0"]), inside(&scene.pods));
    assert_eq!(names(&["--exclude-owner", "/web-0$/", "eth0"]), inside(others));
    assert_eq!(names(&["--exclude-owner", "default/*", "--exclude-interfaces="]), "host/lo\n");
    let lookup = ["lookup", "--cni-cache-dir", &cni, "--netns", first.netns.name(), "--include-owner", "shop/*", "2"];
    let found = stdout(&lookup);
    assert!(found.contains("eth0"), "lookups search everything: {found}");
}

/// As kubectl: a name that does not exist is a failure, selectors that match nothing are not.
fn missing_names_and_empty_tables_are_explained() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let printed = |more: &[&str]| {
        let output = output(&[&["list", "--cni-cache-dir", &cni], more].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = printed(&["lo"]);
    assert!(code == 1 && text.contains("--exclude-interfaces leaves out lo"), "{code} {text}");
    let (code, text) = printed(&["nosuch", "eth0", "-n", "default", "-o", "json"]);
    assert!(code == 1 && text.contains("no interface matches nosuch --namespace default\n"), "{code} {text}");
    let (code, text) = printed(&["-l", "app=web,!old"]);
    assert!(code == 0 && text.contains("--selector app=web,!old; labels need access"), "{code} {text}");
    assert_eq!(printed(&["-n", "nowhere", "-o", "json"]), (0, String::new()));
    assert_eq!(printed(&["eth0"]), (0, String::new()));
    assert_eq!(printed(&["-l", "app in (a,b)"]).0, 0);
    assert_eq!(printed(&["-l", "app on (a,b)"]).0, 2);
}

fn broken_cni_file_harms_no_other() {
    let scene = Scene::new();
    fs::write(scene.cni.join("cbr0-broken-eth0"), r#"{"kind":"cniCacheV1","#).unwrap();
    let tagged = listed(&scene.cni, &["eth0"]);
    assert_eq!(tagged.iter().filter(|one| !one["pod"].is_null()).count(), 3, "{tagged:?}");
}

/// A link with many alternative names ends the kernel's dump early: the list says so and fails.
/// A name without a namespace hides nothing.
fn hidden_interfaces_fail_the_list() {
    let dir = NetnsDir::standard();
    let (_odd, pod) = (dir.alias("odd", "/proc/self/ns/uts".as_ref()), dir.add("pod"));
    let list = |engine| output(&["list", "--engine", engine, "--cni-cache-dir=", "--exclude-interfaces="]);
    let stderr = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let before = list("nsid");
    assert!(before.status.success() && stderr(&before).contains("odd"), "{before:?}");
    let name = |number: u32| format!("link property add dev lo altname {}{number}\n", "x".repeat(110));
    let batch = dir.path().with_file_name("batch");
    fs::write(&batch, (0..300).map(name).collect::<String>()).unwrap();
    let added = pod.inside(|| Command::new("ip").arg("-batch").arg(&batch).status().unwrap());
    assert!(added.success(), "ip(8) comes with iproute2");
    for engine in ["nsid", "setns"] {
        let output = list(engine);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("incomplete") && stderr(&output).contains("netns/pod"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("host"), "the rest is printed: {output:?}");
    }
}

/// Docker mounts namespaces in a directory of its own: `list` finds the directory by its mounts, and
/// `doctor` names the directory where the flag leaves it out.
fn other_directories_need_no_flag() {
    let dir = NetnsDir::at("/run/docker/netns");
    let _container = dir.add("f9fb");
    let names = |flags: &[&str]| {
        stdout(&[&["list", "-o", "name", "--cni-cache-dir=", "--exclude-interfaces="], flags].concat())
    };
    assert_eq!(names(&[]), "host/lo\nf9fb/lo\n");
    assert_eq!(names(&["--netns-dir", "/run/netns", "--find-unnamed", "false"]), "host/lo\n");
    let doctor = |flags: &[&str]| String::from_utf8(output(&[&["doctor"], flags].concat()).stdout).unwrap();
    let all = doctor(&[]);
    assert!(all.contains("/run/docker/netns: ") && !all.contains("namespaces are mounted here"), "{all}");
    let narrow = doctor(&["--netns-dir", "/run/netns"]);
    assert!(narrow.contains("/run/docker/netns: namespaces are mounted here"), "{narrow}");
}
