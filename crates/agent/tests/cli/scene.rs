//! Three pods as a container runtime leaves them: namespaces, veth pairs, CNI results.

use std::fs;
use std::path::PathBuf;

use netns_testbed::{LinkChange, Netns, NetnsDir, Rtnl, Veth};
use serde_json::json;

/// One pod's namespace and link.
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) netns: Netns,
    pub(crate) veth: Veth,
}

impl Pod {
    pub(crate) fn uid(&self) -> String {
        format!("uid-of-{}", self.name)
    }
}

/// Three pods, and where their CNI results are.
pub(crate) struct Scene {
    pub(crate) pods: Vec<Pod>,
    pub(crate) cni: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Rtnl::new().up(&["lo"]);
        let dir = NetnsDir::standard();
        let cni = PathBuf::from("/run/cni-results");
        fs::create_dir(&cni).unwrap();
        let pod = |(number, name): (usize, &'static str)| {
            let netns = dir.add(&format!("cni-0d6c2b1a-7777-8888-9999-00000000000{number}"));
            let veth = Veth::up(&format!("veth{number}"), &netns, "eth0");
            let rtnl = netns.rtnl();
            rtnl.up(&["lo"]);
            let address = format!("10.244.0.{}/24", number + 5);
            rtnl.add_address("eth0", address.parse().unwrap());
            let mac = [0x0a, 0x58, 0x0a, 0xf4, 0, u8::try_from(number + 5).unwrap()];
            rtnl.set("eth0", LinkChange::Mac(mac));
            let pod = Pod { name, netns, veth };
            let result = json!({
                "kind": "cniCacheV1", "containerId": format!("container-{name}"), "ifName": "eth0", "networkName": "cbr0",
                "cniArgs": [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", name], ["K8S_POD_UID", pod.uid()]],
                "result": {
                    "cniVersion": "1.0.0",
                    "interfaces": [
                        {"name": pod.veth.host()},
                        {"name": "eth0", "mac": mac.map(|byte| format!("{byte:02x}")).join(":"), "sandbox": pod.netns.path()},
                    ],
                    "ips": [{"interface": 1, "address": address}],
                },
            });
            fs::write(cni.join(format!("cbr0-container-{name}-eth0")), result.to_string()).unwrap();
            pod
        };
        let pods = ["web-0", "web-1", "db-0"].into_iter().enumerate().map(pod).collect();
        Self { pods, cni }
    }
}
