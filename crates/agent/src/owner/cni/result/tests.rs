use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn bridge() -> Value {
    json!({
        "kind": "cniCacheV1",
        "containerId": "4f0c",
        "config": "eyJjbmlWZXJzaW9uIjoiMC40LjAifQ==",
        "ifName": "eth0",
        "networkName": "podnet",
        "cniArgs": [
            ["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-0"],
            ["K8S_POD_INFRA_CONTAINER_ID", "4f0c"], ["K8S_POD_UID", "u-1"]
        ],
        "result": {
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "cni0", "mac": "f2:ca:00:00:00:01"},
                {"name": "veth1", "mac": "f2:ca:00:00:00:02"},
                {"name": "eth0", "mac": "0a:58:0a:f4:00:05", "sandbox": "/var/run/netns/cni-77"}
            ],
            "ips": [{"version": "4", "interface": 2, "address": "10.244.0.5/24", "gateway": "10.244.0.1"}]
        }
    })
}

fn read(file: &Value) -> Result<Attachment, Refusal> {
    parse(file.to_string().as_bytes())
}

#[test]
fn real_files_name_two_networks() {
    let [lo, eth0, eth1] = [
        include_bytes!("../../../../tests/cni/containerd-1.6-lo.json").as_slice(),
        include_bytes!("../../../../tests/cni/containerd-1.6-eth0.json"),
        include_bytes!("../../../../tests/cni/containerd-1.6-eth1.json"),
    ]
    .map(|file| parse(file).unwrap());
    assert_eq!((&lo.pod, &lo.netns), (&eth0.pod, &eth0.netns));
    assert_eq!((&eth1.pod, &eth1.netns), (&eth0.pod, &eth0.netns));
    assert_eq!(eth0.pod.uid.as_deref(), Some("26a5a60e-766c-44c4-8125-5b68aecf097d"));
    assert_eq!((eth0.network.as_deref(), eth1.network.as_deref()), (Some("k8slab"), Some("k8slab2")));
    assert!(lo.macs.is_empty() && lo.addresses.is_empty(), "every namespace has these");
}

#[test]
fn route_table_is_not_a_mac() {
    let mut file = bridge();
    for (mac, count) in [("11", 0), ("254", 0), ("0a:58:0a:f4:00:05", 1)] {
        file["result"]["interfaces"][2]["mac"] = json!(mac);
        assert_eq!(read(&file).unwrap().macs.len(), count, "{mac}");
    }
}

#[test]
fn podman_container_is_not_a_pod() {
    let mut file = bridge();
    file["cniArgs"] = json!([["K8S_POD_NAMESPACE", "web"], ["K8S_POD_NAME", "web"]]);
    assert!(matches!(read(&file), Err(Refusal::NoPod)));
    file["cniArgs"] = json!([["K8S_POD_NAMESPACE", "web"], ["K8S_POD_NAME", "web"], ["K8S_POD_UID", "u-1"]]);
    assert_eq!(read(&file).unwrap().pod.name, "web");
}

/// Kubernetes allows lowercase RFC 1123 subdomains only; other users of libcni write other names.
#[test]
fn pod_names_are_dns_names() {
    for (name, is_pod) in
        [("web-0", true), ("a.b-1", true), ("nifty_pasteur", false), ("Web", false), ("-a", false), ("a..b", false)]
    {
        let mut file = bridge();
        file["cniArgs"] = json!([["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", name], ["K8S_POD_UID", "u-1"]]);
        assert_eq!(read(&file).is_ok(), is_pod, "{name}");
    }
}

/// The cgroup names the uid of a pod whose arguments have none.
#[test]
fn cgroup_adds_the_uid() {
    let uid = "26a5a60e-766c-44c4-8125-5b68aecf097d";
    let hash = "5f3c2d1e5f3c2d1e5f3c2d1e5f3c2d1e";
    let slice =
        format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
    let paths = [(json!(format!("/kubepods/burstable/pod{uid}")), Some(uid)), (json!(slice), Some(uid))];
    let others =
        [(json!(format!("/kubepods/pod{hash}")), Some(hash)), (json!("/machine.slice/x"), None), (json!(7), None)];
    for (path, wanted) in paths.into_iter().chain(others) {
        let mut file = bridge();
        file["cniArgs"] = json!([["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web-0"]]);
        file["capabilityArgs"] = json!({"cgroupPath": path, "dns": {}});
        assert_eq!(read(&file).unwrap().pod.uid.as_deref(), wanted, "{path}");
    }
    let mut file = bridge();
    file["capabilityArgs"] = json!({"cgroupPath": format!("/kubepods/pod{uid}")});
    assert_eq!(read(&file).unwrap().pod.uid.as_deref(), Some("u-1"), "the arguments come first");
}

/// containerd hands all annotations of the pod to plugins; another program may use the key for another purpose.
#[test]
fn annotations_become_attributes_and_networks() {
    let status = r#"[{"name": "shop/fast", "interface": "net1"}]"#;
    let key = "io.kubernetes.cri.pod-annotations";
    let mut file = bridge();
    file["capabilityArgs"] =
        json!({key: {"team/owner": "blue", "long": "x".repeat(2_000), "k8s.v1.cni.cncf.io/network-status": status}});
    let mut attachment = read(&file).unwrap();
    assert_eq!(attachment.networks.len(), 1);
    attachment.select(&Selection::new(&[], &["team/*".into(), "long".into()]));
    let blue = [("k8s.pod.annotation.team/owner".to_owned(), "blue".to_owned())];
    assert_eq!((&*attachment.pod.attributes, attachment.annotations.0.len()), (&blue[..], 0));
    for odd in [json!("text"), json!({"a": 1}), json!(null)] {
        file["capabilityArgs"] = json!({key: odd});
        assert_eq!(read(&file).unwrap().pod.uid.as_deref(), Some("u-1"));
    }
}

#[test]
fn only_random_uuids_prove_by_name() {
    let uuid = "26a5a60e-766c-44c4-8125-5b68aecf097d";
    // containerd and podman set neither version nor variant.
    let containerd = "cni-9fafe31e-ed1b-9a18-fbd8-8c99406d51ad".to_owned();
    for name in [format!("cni-{uuid}"), format!("netns-{uuid}"), uuid.to_owned(), containerd] {
        assert!(is_random_uuid(&NetnsName::new(&name)), "{name}");
    }
    let odd = ["26a5a60e-766c-14c4-8125-5b68aecf097d", "cni-26a5a60e-766c-14c4-8125-5b68aecf097", "CNI-9fafe31e"];
    for name in ["cni-77", "blue", "é"].into_iter().chain(odd) {
        assert!(!is_random_uuid(&NetnsName::new(name)), "{name}");
    }
}

#[test]
fn sandbox_names_the_namespace() {
    let attachment = read(&bridge()).unwrap();
    assert_eq!(attachment.netns, Some(NetnsName::new("cni-77")));
    assert_eq!((attachment.pod.namespace.as_str(), attachment.pod.name.as_str()), ("shop", "web-0"));
    assert_eq!(attachment.pod.uid.as_deref(), Some("u-1"));
    assert_eq!(attachment.interface, "eth0");
    assert_eq!(attachment.network.as_deref(), Some("podnet"));
    assert_eq!(attachment.macs, ["0a:58:0a:f4:00:05".parse().unwrap()], "host ends are not the pod's");
    assert_eq!(attachment.addresses, ["10.244.0.5".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_newer_libcni_names_the_namespace_itself() {
    let mut file = bridge();
    file["netns"] = json!("/run/netns/cni-77");
    file["result"]["interfaces"] = json!([{"name": "cali1", "mac": "ee:ee:ee:ee:ee:ee"}]);
    let attachment = read(&file).unwrap();
    assert_eq!(attachment.netns, Some(NetnsName::new("cni-77")));
    assert!(attachment.macs.is_empty());
}

#[test]
fn old_result_has_an_address() {
    let mut file = bridge();
    file["netns"] = json!("/var/run/netns/cni-77");
    file["result"] = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.1.1/24"}, "ip6": {"ip": "fd00::1/64"}});
    assert_eq!(read(&file).unwrap().addresses.len(), 2);
}

/// Numbers of link-layer addresses and addresses that are left when a plugin writes a value of another type.
#[test]
fn odd_values_of_a_result_hide_nothing_else() {
    for (place, value, left) in [
        ("/interfaces/2/mac", Value::Null, (0, 1)),
        ("/interfaces/0", json!("cni0"), (1, 1)),
        ("/interfaces/0/mac", json!(7), (1, 1)),
        ("/interfaces/1/name", json!([]), (1, 1)),
        ("/interfaces", json!({"eth0": {}}), (0, 1)),
        ("/ips/0", Value::Null, (1, 0)),
        ("/ips/0/address", json!(7), (1, 0)),
        ("/ips/0/address", json!("10.244.0.5"), (1, 1)),
        ("/ips/0/interface", json!("2"), (1, 1)),
        ("/ips", json!("10.244.0.5/24"), (1, 0)),
        ("", json!("{}"), (0, 0)),
        ("", Value::Null, (0, 0)),
    ] {
        let mut file = bridge();
        file["netns"] = json!("/var/run/netns/cni-77");
        *file["result"].pointer_mut(place).unwrap() = value.clone();
        let attachment = read(&file).unwrap();
        assert_eq!((attachment.macs.len(), attachment.addresses.len()), left, "{place}: {value}");
        assert_eq!(attachment.netns, Some(NetnsName::new("cni-77")), "{place}: {value}");
    }
    let mut old = bridge();
    old["result"] = json!({"ip4": {"ip": "10.1.1.1/24"}, "ip6": {"ip": null}, "interfaces": {}});
    assert_eq!(read(&old).unwrap().addresses.len(), 1);
}

#[test]
fn proc_path_is_no_name() {
    for (path, macs) in [("/proc/42/ns/net", 1), ("cni-77", 1), ("0", 1), ("", 0), ("/", 1), ("/var/run/netns/..", 1)] {
        let mut file = bridge();
        file["result"]["interfaces"][2]["sandbox"] = json!(path);
        let read = read(&file).unwrap();
        assert_eq!((read.netns, read.macs.len(), read.ends.len()), (None, macs, 2), "{path:?}");
    }
}

/// A result without any clue, as of a plugin that sets up `lo`, is refused.
#[test]
fn file_without_clue_is_refused() {
    let mut file = bridge();
    file["result"] = json!({"cniVersion": "1.0.0", "interfaces": [], "ips": [{"address": "127.0.0.1/8"}]});
    assert!(matches!(read(&file), Err(Refusal::NoNetns)));
}

#[test]
fn two_namespaces_are_refused() {
    let mut file = bridge();
    file["netns"] = json!("/var/run/netns/cni-78");
    assert!(matches!(read(&file), Err(Refusal::TwoNetns)));
}

#[test]
fn every_fault_has_its_own_reason() {
    let changed = |key: &str, value: Value| {
        let mut file = bridge();
        file[key] = value;
        read(&file)
    };
    assert!(matches!(changed("kind", json!("cniCacheV9")), Err(Refusal::OtherKind(kind)) if kind == "cniCacheV9"));
    assert!(matches!(changed("cniArgs", json!([["K8S_POD_NAME", "a"]])), Err(Refusal::NoPod)));
    assert!(matches!(changed("cniArgs", Value::Null), Err(Refusal::NoPod)));
    assert!(matches!(changed("ifName", json!("a-name-far-too-long")), Err(Refusal::BadInterfaceName(_))));
    assert!(matches!(parse(b"not json"), Err(Refusal::Malformed(_))));
    assert!(matches!(parse(b"[1, 2]"), Err(Refusal::Malformed(_))));
    let whole = bridge().to_string();
    for end in 0..whole.len() {
        assert!(matches!(parse(&whole.as_bytes()[..end]), Err(Refusal::CutOff)), "cut off at {end}");
    }
}

#[test]
fn delegate_names_the_network() {
    let mut file = bridge();
    file["networkName"] = json!("multus-cni-network");
    assert_eq!(read(&file).unwrap().network, None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn changed_byte_never_panics(at in 0usize..700, byte: u8) {
        let mut file = bridge().to_string().into_bytes();
        let at = at % file.len();
        file[at] = byte;
        let _ = parse(&file);
    }
}
