use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::link::Veth;
use crate::netns::{Netns, NetnsDir};
use crate::rtnl::LinkChange;

/// A pod of the namespace `default` as a container runtime leaves a pod: a namespace, a veth pair, and the
/// CNI result in the cache of libcni.
#[derive(Debug)]
pub struct Pod {
    /// Name of the pod.
    pub name: String,
    /// Network namespace of the pod.
    pub netns: Netns,
    /// Veth pair between the pod and the test's own namespace, up.
    pub veth: Veth,
}

impl Pod {
    /// Creates a pod; `number` makes the namespace, the addresses and the host end unique.
    #[track_caller]
    #[must_use]
    pub fn add(dir: &NetnsDir, results: &Path, number: u16, name: &str) -> Self {
        let netns = dir.add(&format!("cni-0d6c2b1a-7777-8888-9999-{number:012}"));
        let veth = Veth::up(&format!("veth{number}"), &netns, "eth0");
        let [high, low] = (number + 5).to_be_bytes();
        let address = format!("10.244.{high}.{low}/24");
        let mac = [0x0a, 0x58, 0x0a, 0xf4, high, low];
        let rtnl = netns.rtnl();
        rtnl.up(&["lo"]);
        rtnl.add_address("eth0", address.parse().unwrap_or_else(|e| panic!("{address}: {e}")));
        rtnl.set("eth0", LinkChange::Mac(mac));
        write_cni_result(results, name, &netns, veth.host(), mac, &address);
        Self { name: name.to_owned(), netns, veth }
    }

    /// UID of the pod.
    #[must_use]
    pub fn uid(&self) -> String {
        uid(&self.name)
    }
}

fn uid(name: &str) -> String {
    format!("uid-of-{name}")
}

/// Writes the CNI result of the pod `name` with `eth0` inside of `netns`, as libcni does after ADD; returns its path.
///
/// The uid of the pod is `uid-of-` and its name.
#[track_caller]
pub fn write_cni_result(results: &Path, name: &str, netns: &Netns, host: &str, mac: [u8; 6], address: &str) -> PathBuf {
    let result = json!({
        "kind": "cniCacheV1", "containerId": format!("container-{name}"), "ifName": "eth0", "networkName": "cbr0",
        "cniArgs": [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", name], ["K8S_POD_UID", uid(name)]],
        "result": {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": host},
                {"name": "eth0", "mac": mac.map(|byte| format!("{byte:02x}")).join(":"), "sandbox": netns.path()},
            ],
            "ips": [{"interface": 1, "address": address}],
        },
    });
    let path = results.join(format!("cbr0-container-{name}-eth0"));
    fs::write(&path, result.to_string()).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    path
}
