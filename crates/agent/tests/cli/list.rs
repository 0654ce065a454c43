use std::collections::BTreeSet;
use std::fs;

use netns_testbed::{Test, tests};
use serde_json::{Value, json};

use crate::program::{listed, output, stdout};
use crate::scene::Scene;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        json_shows_exactly_what_exists_with_its_pods,
        the_table_fits_80_columns_and_wide_shows_everything,
        selectors_choose_and_names_are_printed_for_scripts,
        an_answer_without_any_interface_says_so_to_people,
        a_pods_interfaces_are_tagged_with_a_broken_file_beside_theirs,
    ]
    .into()
}

fn json_shows_exactly_what_exists_with_its_pods() {
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
        let netns = json!({"name": pod.netns.name(), "dev": dev, "inode": inode, "host": false});
        let one = list.iter().find(|one| one["netns"] == netns && one["name"] == "eth0").expect("it is listed");
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

fn the_table_fits_80_columns_and_wide_shows_everything() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let table = stdout(&["list", "--cni-cache-dir", &cni]);
    assert!(table.starts_with("NETNS "), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("default/web-0") && table.contains("cbr0"), "{table}");
    assert!(!table.contains('\x1b'), "colours in a pipe: {table}");
    let wide = stdout(&["list", "--cni-cache-dir", &cni, "-o", "wide", "--no-headers"]);
    let whole = [scene.pods[0].netns.name(), "cni-cache", "10.244.0.5/24", "host/veth0"];
    assert!(wide.lines().any(|line| whole.iter().all(|part| line.contains(part))), "{wide}");
    assert!(!wide.contains("NETNS "), "{wide}");
    let yaml = stdout(&["list", "--cni-cache-dir", &cni, "-o", "yaml"]);
    assert!(
        ["web-0", "0a:58:0a:f4:00:05"]
            .iter()
            .all(|text| yaml.contains(&format!("\"{text}\"")) || yaml.contains(&format!("'{text}'"))),
        "{yaml}"
    );
}

fn selectors_choose_and_names_are_printed_for_scripts() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let names = |more: &[&str]| stdout(&[&["list", "-o", "name", "--cni-cache-dir", &cni], more].concat());
    let first = &scene.pods[0];
    let inside = format!("{}/eth0\n", first.netns.name());
    assert_eq!(names(&["--pod", "web-0", "--netns", first.netns.name(), "eth0"]), inside);
    assert_eq!(names(&["-n", "kube-system"]), "");
    assert_eq!(names(&["--netns", "host", "--kind", "veth"]), "host/veth0\nhost/veth1\nhost/veth2\n");
    assert_eq!(names(&["-n", "default", "--network", "cbr0", "eth0"]).lines().count(), 3);
}

fn an_answer_without_any_interface_says_so_to_people() {
    let scene = Scene::new();
    let cni = scene.cni.display().to_string();
    let said = |more: &[&str]| {
        let output = output(&[&["list", "--cni-cache-dir", &cni], more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["lo"]).contains("--exclude-interfaces leaves out lo"));
    assert!(said(&["-l", "app=web"]).contains("labels are known from the API server only"));
    assert_eq!(said(&["lo", "-o", "json"]), "");
    assert_eq!(said(&["eth0"]), "");
}

fn a_pods_interfaces_are_tagged_with_a_broken_file_beside_theirs() {
    let scene = Scene::new();
    fs::write(scene.cni.join("cbr0-broken-eth0"), r#"{"kind":"cniCacheV1","#).unwrap();
    let tagged = listed(&scene.cni, &["eth0"]);
    assert_eq!(tagged.iter().filter(|one| !one["pod"].is_null()).count(), 3, "{tagged:?}");
}
