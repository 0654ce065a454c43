//! Container runtimes: paths of namespaces, arguments of plugins, and the changes of interfaces after CNI ADD.

use iface_core::NetnsName;
use serde_json::{Value, json};

use super::fixture::{Made, Recorded};
use crate::owner::cni::result::{Attachment, Refusal, parse};

/// Versions of the CNI specification.
pub(super) const VERSIONS: [&str; 6] = ["0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Containerd,
    CriO,
    CriDockerd,
    /// gVisor under containerd takes the addresses away, and answers for them itself.
    Gvisor,
    /// Kata under containerd adds the virtual machine's tap.
    Kata,
    /// KubeVirt under CRI-O gives name and MAC address of the pod's interface to the virtual machine.
    KubeVirt,
}

impl Runtime {
    pub(super) const ALL: [Self; 6] =
        [Self::Containerd, Self::CriO, Self::CriDockerd, Self::Gvisor, Self::Kata, Self::KubeVirt];

    /// Name of the namespace of the pod with this number.
    pub(super) fn netns(self, number: u8) -> NetnsName {
        let uuid = format!("26a5a60e-766c-44c4-8125-5b68aecf097{number:x}");
        NetnsName::new(match self {
            Self::Containerd | Self::Gvisor | Self::Kata => format!("cni-{uuid}"),
            Self::CriO | Self::KubeVirt => uuid,
            Self::CriDockerd => format!("7f3a9c21d05{number:x}"),
        })
    }

    /// The path of the namespace in files.
    pub(super) fn sandbox(self, number: u8) -> String {
        match self {
            Self::CriDockerd => format!("/proc/417{number}/ns/net"),
            _ => format!("/var/run/netns/{}", self.netns(number)),
        }
    }

    /// cri-dockerd passes no uid to plugins.
    pub(super) fn passes_uid(self) -> bool {
        self != Self::CriDockerd
    }

    /// The agent's view of a file, `None` for a file without any clue; libcni writes the path of the namespace since 1.2.
    pub(super) fn attachment(
        self,
        recorded: &Recorded,
        version: &str,
        number: u8,
        libcni_1_2: bool,
    ) -> Option<Attachment> {
        let mut args = json!([
            ["IgnoreUnknown", "1"],
            ["K8S_POD_NAMESPACE", "shop"],
            ["K8S_POD_NAME", name(number)],
            ["K8S_POD_INFRA_CONTAINER_ID", format!("c{number}")],
        ]);
        if self.passes_uid() {
            args.as_array_mut().unwrap().push(json!(["K8S_POD_UID", uid(number)]));
        }
        let mut file = json!({
            "kind": "cniCacheV1", "containerId": format!("c{number}"), "config": "e30=", "ifName": recorded.if_name,
            "networkName": recorded.network_name, "cniArgs": args, "capabilityArgs": recorded.capability_args,
            "result": recorded.result(version),
        });
        if libcni_1_2 {
            file["netns"] = Value::from(self.sandbox(number));
        }
        match parse(file.to_string().as_bytes()) {
            Ok(attachment) => Some(Attachment { delegated: recorded.multus, ..attachment }),
            Err(Refusal::NoNetns) => None,
            Err(refusal) => panic!("{file}: {refusal}"),
        }
    }

    /// The interfaces of a running pod.
    pub(super) fn running(self, made: &[Made], number: u8) -> Vec<Made> {
        let mut running = made.to_vec();
        match self {
            Self::Gvisor => running.iter_mut().for_each(|one| one.addresses.clear()),
            Self::Kata => running.push(Made {
                name: "tap0_kata".into(),
                kind: Some("tun".into()),
                mac: Some(format!("02:00:ca:fe:00:0{number:x}")),
                ..Made::default()
            }),
            Self::KubeVirt => running = made.iter().flat_map(|one| virtual_machine(one, number)).collect(),
            Self::Containerd | Self::CriO | Self::CriDockerd => {}
        }
        running
    }
}

/// KubeVirt's bridge binding: the interface gets another name and MAC address, and a dummy keeps name and addresses.
fn virtual_machine(one: &Made, number: u8) -> Vec<Made> {
    if one.end.is_none() {
        return vec![one.clone()];
    }
    let mac = |third: u8| Some(format!("02:00:00:{third:02x}:be:0{number:x}"));
    let of =
        |name: String, kind: &str, third| Made { name, kind: Some(kind.into()), mac: mac(third), ..Made::default() };
    let dummy =
        Made { addresses: one.addresses.clone(), network: one.network.clone(), ..of(one.name.clone(), "dummy", 1) };
    let bridge = Made { addresses: vec!["169.254.75.10/32".into()], ..of(format!("k6t-{}", one.name), "bridge", 2) };
    let renamed = Made { name: format!("{}-nic", one.name), mac: mac(3), addresses: Vec::new(), ..one.clone() };
    vec![renamed, dummy, bridge, of("tap0".into(), "tun", 4)]
}

pub(super) fn name(number: u8) -> String {
    format!("web-{number}")
}

pub(super) fn uid(number: u8) -> String {
    format!("0d0f3c1e-5b7a-4a55-9f2e-00000000000{number:x}")
}
