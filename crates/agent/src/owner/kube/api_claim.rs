//! A ResourceClaim in the API server's format, with the used fields only.

use std::borrow::Cow;
use std::sync::Arc;

use iface_core::IfName;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::interface::Device;
use crate::owner::claim::{ClaimRecord, DeviceStatus};

/// Length limit of the names of drivers, pools and devices; pools have the longest (`k8s.io/api/resource`).
const MAX_NAME: usize = 253;

/// Version of `resource.k8s.io`; all have the same fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version(pub(super) &'static str);

/// Fields of a ResourceClaim; all others are skipped by the parser.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ApiClaim {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    allocation: Option<Allocation>,
    reserved_for: Option<Vec<Consumer>>,
    devices: Option<Vec<AllocatedDevice>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Allocation {
    node_selector: Option<NodeSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector {
    node_selector_terms: Vec<Term>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_fields: Option<Vec<Requirement>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Consumer {
    api_group: String,
    resource: String,
    uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AllocatedDevice {
    driver: String,
    pool: String,
    device: String,
    network_data: Option<NetworkData>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NetworkData {
    interface_name: String,
    hardware_address: String,
    ips: Option<Vec<String>>,
}

impl kube::Resource for ApiClaim {
    type DynamicType = Version;
    type Scope = NamespaceResourceScope;

    fn kind(_: &Version) -> Cow<'_, str> {
        "ResourceClaim".into()
    }

    fn group(_: &Version) -> Cow<'_, str> {
        "resource.k8s.io".into()
    }

    fn version(version: &Version) -> Cow<'_, str> {
        version.0.into()
    }

    fn plural(_: &Version) -> Cow<'_, str> {
        "resourceclaims".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl ApiClaim {
    pub(super) fn uid(&self) -> Option<Arc<str>> {
        self.metadata.uid.as_deref().filter(|uid| !uid.is_empty()).map(Into::into)
    }

    /// The record of the claim; without devices if the claim is for another node.
    pub(super) fn into_record(self, node: &str) -> Option<ClaimRecord> {
        let uid = self.uid()?;
        let name: Arc<str> = self.metadata.name?.into();
        let Status { allocation, reserved_for, devices } = self.status;
        let selector = allocation.and_then(|allocation| allocation.node_selector).unwrap_or_default();
        let is_elsewhere = selector.excludes(node);
        let devices = devices.filter(|_| !is_elsewhere).unwrap_or_default();
        let pods = reserved_for.unwrap_or_default().into_iter();
        let pods = pods.filter(|one| one.resource == "pods" && one.api_group.is_empty() && !one.uid.is_empty());
        Some(ClaimRecord {
            uid,
            pods: pods.map(|pod| pod.uid.into()).collect(),
            devices: devices.into_iter().filter_map(|device| device.into_status(&name)).collect(),
        })
    }
}

impl NodeSelector {
    /// Whether no term can select the node: a driver with devices of one node names the node in each term.
    fn excludes(&self, node: &str) -> bool {
        let is_other = |one: &Requirement| {
            let names = one.values.iter().flatten();
            one.key == "metadata.name" && one.operator == "In" && !names.into_iter().any(|name| name == node)
        };
        let terms = &self.node_selector_terms;
        !terms.is_empty() && terms.iter().all(|term| term.match_fields.iter().flatten().any(is_other))
    }
}

impl AllocatedDevice {
    /// A complete entry with an interface: half an entry could match the wrong interface.
    fn into_status(self, claim: &Arc<str>) -> Option<DeviceStatus> {
        let Self { driver, pool, device, network_data } = self;
        let data = network_data?;
        if ![&driver, &pool, &device].into_iter().all(|name| is_name(name)) {
            return None;
        }
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let address = |ip: &String| ip.split('/').next().unwrap_or_default().parse();
        Some(DeviceStatus {
            interface: given(data.interface_name).map(|name| IfName::new(name).ok_or(())).transpose().ok()?,
            mac: given(data.hardware_address).map(|mac| mac.parse()).transpose().ok()?,
            addresses: data.ips.iter().flatten().map(address).collect::<Result<_, _>>().ok()?,
            device: Arc::new(Device { claim: claim.clone(), driver: driver.into(), pool, name: device }),
        })
    }
}

/// Safe for terminals and labels.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(status: &Value) -> ClaimRecord {
        let claim = json!({"metadata": {"name": "nic", "namespace": "shop", "uid": "c-1"}, "status": status});
        serde_json::from_value::<ApiClaim>(claim).unwrap().into_record("node-1").unwrap()
    }

    fn device(data: &Value) -> Value {
        json!({"driver": "dra.net", "pool": "node-1", "device": "gpu0rdma0", "networkData": data})
    }

    /// All fields of a device, and pods alone as consumers.
    #[test]
    fn record_names_pods_and_devices() {
        let data = json!({"interfaceName": "net1", "hardwareAddress": "02:09:cd:f9:62:be", "ips": ["10.1.0.2/24", "fd00::2/64"]});
        let reserved = json!([{"resource": "pods", "name": "web-0", "uid": "u1"},
            {"apiGroup": "kueue.x-k8s.io", "resource": "workloads", "name": "w", "uid": "w1"}]);
        let record = read(&json!({"reservedFor": reserved, "devices": [device(&data)]}));
        assert_eq!(record.pods.iter().map(|uid| &**uid).collect::<Vec<_>>(), ["u1"]);
        let [status] = &*record.devices else { panic!("{record:?}") };
        assert_eq!(status.device.to_string(), "dra.net/node-1/gpu0rdma0");
        assert_eq!((&*status.device.claim, status.addresses.len()), ("nic", 2));
        assert_eq!((status.interface, status.mac), (IfName::new("net1"), "02:09:cd:f9:62:be".parse().ok()));
    }

    /// Devices without an interface, and entries with a fault.
    #[test]
    fn incomplete_devices_are_ignored() {
        let cases = [
            json!({"driver": "gpu.example.com", "pool": "p", "device": "d"}),
            device(&json!({"interfaceName": "a-name-far-too-long"})),
            device(&json!({"interfaceName": "net1", "hardwareAddress": "none"})),
            device(&json!({"interfaceName": "net1", "ips": ["10.1.0"]})),
            json!({"driver": "\u{1b}[31m", "pool": "p", "device": "d", "networkData": {"interfaceName": "net1"}}),
        ];
        for device in cases {
            assert!(read(&json!({"devices": [device]})).devices.is_empty(), "{device}");
        }
        assert!(read(&json!({"devices": null, "reservedFor": null, "allocation": null})).devices.is_empty());
    }

    #[test]
    fn claims_of_other_nodes_are_trimmed() {
        let term = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        let devices = [device(&json!({"interfaceName": "net1"}))];
        let labels = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]});
        for (terms, left) in [
            (vec![term("node-2")], 0),
            (vec![term("node-1")], 1),
            (vec![term("node-2"), labels.clone()], 1),
            (vec![labels], 1),
            (vec![], 1),
        ] {
            let status = json!({"devices": devices, "allocation": {"nodeSelector": {"nodeSelectorTerms": terms}}});
            assert_eq!(read(&status).devices.len(), left, "{terms:?}");
        }
    }
}
