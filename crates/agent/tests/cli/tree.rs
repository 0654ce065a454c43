use netns_testbed::{Bridge, LinkChange, Rtnl, Test, tests};
use serde_json::Value;

use crate::program::{output, stdout};
use crate::scene::Scene;

pub(crate) fn tests() -> Vec<Test> {
    tests![tree_leads_from_the_bridge_to_pods].into()
}

/// A bridge with the host ends of two pods; the third pod's host end belongs to no bridge.
fn tree_leads_from_the_bridge_to_pods() {
    let scene = Scene::new();
    let _bridge = Bridge::new(None, "br0");
    let rtnl = Rtnl::new();
    let index = rtnl.index_of("br0").unwrap();
    for pod in &scene.pods[..2] {
        rtnl.set(pod.veth.host(), LinkChange::Master(index));
    }
    let cni = scene.cni.display().to_string();
    // Namespaces mounted elsewhere on the machine cannot be read from here.
    let common = ["tree", "--netns-dir", "/run/netns", "--cni-cache-dir", &cni];
    let tree = |more: &[&str]| stdout(&[&common[..], more].concat());
    let text = tree(&["--ascii"]);
    let of = |pod: usize| scene.pods[pod].veth.host().to_owned();
    let below = |pod: usize| text.lines().any(|line| line.starts_with(['|', '`']) && line.contains(&of(pod)));
    assert!(text.contains("br0 ") && below(0) && below(1) && !below(2), "{text}");
    assert!(text.contains(" <-> ") && text.is_ascii(), "{text}");
    // Without a UTF-8 locale, the default is ASCII as well.
    assert_eq!(tree(&[]), text);
    let way = tree(&["web-1"]);
    assert_eq!(way.lines().count(), 2, "{way}");
    assert!(way.starts_with("br0 ") && way.contains("default/web-1"), "{way}");
    let roots: Value = serde_json::from_str(&tree(&["-o", "json", "default/web-1"])).unwrap();
    let veth = &roots[0]["children"][0];
    assert_eq!((&veth["relation"], &veth["children"][0]["relation"]), (&"port".into(), &"peer".into()));
    assert_eq!(veth["interface"]["master"], index);
    assert!(tree(&["-o", "dot"]).starts_with("graph node {"));
    let rates = tree(&["--rates", "--over", "50ms", "web-1"]);
    assert!(rates.lines().all(|line| line.contains(" B/s")), "{rates}");
    let roots: Value = serde_json::from_str(&tree(&["--rates", "--over", "50ms", "-o", "json", "web-1"])).unwrap();
    assert!(roots[0]["rate"]["receive"]["bytes"].is_f64(), "{roots}");
    let absent = output(&[&common[..], &["absent"]].concat());
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no interface belongs to absent"));
}
