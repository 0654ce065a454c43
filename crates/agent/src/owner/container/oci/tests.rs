use super::*;
use crate::owner::container::record;
use iface_core::NetnsName;

const ID: &str = "5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a1234";
const NETNS: &str = "/run/netns/netns-ad7b51f9-ed6c-0af3-bee9-dad3a49df55a";
const UUID: &str = "/var/run/netns/26a5a60e-766c-44c4-8125-5b68aecf097d";
const CNI: &str = "/var/run/netns/cni-26a5a60e-766c-44c4-8125-5b68aecf097d";

const SPACE: NsFile = NsFile { dev: 4, inode: 7 };

/// A file with a secret among its environment and annotations.
fn file(path: &str, annotations: &[(&str, &str)]) -> Vec<u8> {
    let mut all = serde_json::Map::new();
    all.insert("kubectl.kubernetes.io/last-applied-configuration".into(), "TOKEN=secret".into());
    all.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
    serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {"args": ["/pause"], "env": ["TOKEN=secret"]},
        "annotations": all,
        "linux": {
            "cgroupsPath": "kubepods-besteffort-pod6f.slice:cri-containerd:5d1f",
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network", "path": path}],
        },
    })
    .to_string()
    .into_bytes()
}

/// The annotations of containerd's `pkg/cri/annotations` for a sandbox.
const CONTAINERD: [(&str, &str); 5] = [
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.kubernetes.cri.sandbox-id", ID),
    ("io.kubernetes.cri.sandbox-name", "web-0"),
    ("io.kubernetes.cri.sandbox-namespace", "shop"),
    ("io.kubernetes.cri.sandbox-uid", "6f1e"),
];

/// The annotations of CRI-O's sandbox.
const CRI_O: [(&str, &str); 6] = [
    ("io.container.manager", "cri-o"),
    ("io.kubernetes.cri-o.ContainerType", "sandbox"),
    ("io.kubernetes.cri-o.SandboxID", ID),
    ("io.kubernetes.pod.name", "web-0"),
    ("io.kubernetes.pod.namespace", "shop"),
    ("io.kubernetes.pod.uid", "6f1e"),
];

fn web(netns: &str) -> Result<Subject, Unclaimed> {
    let (namespace, name, uid) = ("shop".to_owned(), "web-0".to_owned(), Some("6f1e".to_owned()));
    let pod = Arc::new(Pod { namespace, name, uid, workload: None, attributes: Vec::new() });
    Ok(Subject::Pod(Sandbox { pod, netns: NetnsName::new(netns) }))
}

#[test]
fn podman_record_claims_its_sandbox() {
    let stored = serde_json::json!([
        {"id": ID, "names": ["web"], "layer": "l", "metadata": "{\"image-name\":\"docker.io/library/nginx:latest\"}"},
    ]);
    let content = file(NETNS, &[("io.container.manager", "libpod")]);
    let read = |names: &[u8]| match userdata(ID, &record::names(names), &content).unwrap() {
        Subject::Container(record) => record,
        Subject::Pod(sandbox) => unreachable!("{sandbox:?}"),
    };
    let record = read(stored.to_string().as_bytes());
    assert_eq!((record.name.as_str(), record.image.as_deref()), ("web", Some("docker.io/library/nginx:latest")));
    assert_eq!(record.claim, Claim::Name(NetnsName::new("netns-ad7b51f9-ed6c-0af3-bee9-dad3a49df55a")));
    assert!(!format!("{record:?}").contains("secret"));
    let unnamed = read(b"[{]");
    assert_eq!((unnamed.name.as_str(), unnamed.image), ("5d1f0e6b7c8a", None));
}

#[test]
fn sandboxes_name_their_pods() {
    let read = task(ID, &file(CNI, &CONTAINERD), || None);
    assert!(!format!("{read:?}").contains("secret"));
    assert_eq!(read, web("cni-26a5a60e-766c-44c4-8125-5b68aecf097d"));
    let read = userdata(ID, &Names::default(), &file(UUID, &CRI_O));
    assert_eq!(read, web("26a5a60e-766c-44c4-8125-5b68aecf097d"));
}

/// containerd 1.5 writes no uid.
#[test]
fn uid_of_pod_may_be_missing() {
    let Ok(Subject::Pod(sandbox)) = task(ID, &file(CNI, &CONTAINERD[..4]), || None) else { unreachable!("no pod") };
    assert_eq!((sandbox.pod.name.as_str(), &sandbox.pod.uid), ("web-0", &None));
}

/// The host's namespace, another container's, and a namespace given by a user.
#[test]
fn foreign_namespaces_are_not_claimed() {
    for path in ["/proc/77/ns/net", "/run/netns/blue", "/proc/0a1b2c3d4e5f", "26a5a60e-766c-44c4-8125-5b68aecf097d"] {
        assert_eq!(userdata(ID, &Names::default(), &file(path, &[])), Err(Unclaimed::NoNetns), "{path}");
        assert_eq!(userdata(ID, &Names::default(), &file(path, &CRI_O)), Err(Unclaimed::NoNetns), "{path}");
        assert_eq!(task(ID, &file(path, &CONTAINERD), || None), Err(Unclaimed::NoNetns), "{path}");
    }
    let host = br#"{"linux": {"namespaces": [{"type": "pid"}]}}"#;
    assert_eq!(userdata(ID, &Names::default(), host), Err(Unclaimed::NoNetns));
    assert_eq!(task(ID, host, || Some(SPACE)), Err(Unclaimed::NoNetns));
}

/// Neither a pod nor a container.
#[test]
fn incomplete_names_of_pods_claim_nothing() {
    for annotations in [&CONTAINERD[2..3], &CONTAINERD[3..4], &CRI_O[3..4], &[("io.kubernetes.pod.namespace", "x")]] {
        assert_eq!(userdata(ID, &Names::default(), &file(UUID, annotations)), Err(Unclaimed::OfPod));
    }
    let name = "io.kubernetes.cri.sandbox-name";
    for hostile in ["", "Web", "a/b", &"x".repeat(254)] {
        let annotations = [(name, hostile), CONTAINERD[3]];
        assert_eq!(task(ID, &file(CNI, &annotations), || Some(SPACE)), Err(Unclaimed::OfPod), "{hostile}");
    }
}

/// The runtime makes the namespace of nerdctl's container; those of others are not the container's.
#[test]
fn nerdctl_container_claims_its_process() {
    let read = |network: &serde_json::Value, annotation: &str, space: Option<NsFile>| {
        let content = serde_json::json!({"annotations": {annotation: "web"}, "linux": {"namespaces": [network]}});
        task(ID, content.to_string().as_bytes(), || space)
    };
    let (own, name) = (serde_json::json!({"type": "network"}), "nerdctl/name");
    let Ok(Subject::Container(record)) = read(&own, name, Some(SPACE)) else { unreachable!("no container") };
    assert_eq!((record.runtime, record.name.as_str(), record.id.as_str()), (Runtime::Nerdctl, "web", ID));
    assert_eq!(record.claim, Claim::Space(SPACE));
    let other = serde_json::json!({"type": "network", "path": "/proc/77/ns/net"});
    let host = serde_json::json!({"type": "pid"});
    for (network, annotation, space) in
        [(&other, name, Some(SPACE)), (&host, name, Some(SPACE)), (&own, "a", Some(SPACE)), (&own, name, None)]
    {
        assert_eq!(read(network, annotation, space), Err(Unclaimed::NoNetns), "{network} {annotation}");
    }
}

#[test]
fn hostile_records_are_refused() {
    let deep = "[".repeat(100_000);
    for content in [&b"\xff"[..], b"", b"[]x", b"7", deep.as_bytes(), br#"{"linux": 7}"#, br#"{"annotations": [7]}"#] {
        assert_eq!(task(ID, content, || Some(SPACE)), Err(Unclaimed::Malformed));
        assert_eq!(userdata(ID, &Names::default(), content), Err(Unclaimed::Malformed));
    }
}
