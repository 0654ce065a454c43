//! Recorded results of a CNI plugin, and the interfaces that the plugin makes.
//!
//! `@` in a fixture is the number of the pod, so that two pods of one plugin can be neighbours. `{sandbox}` is the
//! path of the namespace, and `{table}` a route table number of the AWS VPC CNI plugin.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::runtime::Runtime;

/// A plugin's results and interfaces.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Fixture {
    pub(super) plugin: String,
    pub(super) inside: Vec<Made>,
    pub(super) results: Vec<Recorded>,
    /// multus' annotation of the pod.
    #[serde(default)]
    pub(super) status: Value,
    /// Whether the results say nothing of the pod but its addresses, whatever the version.
    #[serde(default)]
    pub(super) only_addresses: bool,
    /// Whether the results never name the namespace.
    #[serde(default)]
    pub(super) no_sandbox: bool,
    /// Whether the result has another MAC address than the interface.
    #[serde(default)]
    pub(super) stale_mac: bool,
}

/// An interface as the plugin makes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Made {
    pub(super) name: String,
    #[serde(default)]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) mac: Option<String>,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    /// Name of the peer on the host.
    #[serde(default)]
    pub(super) end: Option<String>,
    /// The network that the agent has to name.
    #[serde(default)]
    pub(super) network: Option<String>,
    /// Whether a bond has replaced the MAC address of the result.
    #[serde(default)]
    pub(super) lost_mac: bool,
}

/// One result, as of CNI 1.1.0.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) if_name: String,
    pub(super) network_name: String,
    #[serde(default)]
    pub(super) capability_args: Value,
    /// Whether multus keeps the file among those of its delegates.
    #[serde(default)]
    pub(super) multus: bool,
    result: Value,
}

/// All fixtures as text, by name.
pub(super) fn texts() -> Vec<String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/matrix");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

impl Fixture {
    /// The fixture of the pod with this number.
    pub(super) fn of(text: &str, number: u8, sandbox: &str) -> Self {
        let text = text.replace('@', &format!("{number:x}")).replace("{sandbox}", sandbox).replace("{table}", "11");
        serde_json::from_str(&text).unwrap()
    }
}

impl Recorded {
    /// The result in a version of the CNI specification.
    pub(super) fn result(&self, version: &str) -> Value {
        let mut result = self.result.clone();
        let fields = result.as_object_mut().unwrap();
        fields.insert("cniVersion".into(), version.into());
        let ips = fields.get("ips").and_then(Value::as_array).cloned().unwrap_or_default();
        let family = |ip: &Value| if ip["address"].as_str().unwrap().contains(':') { "6" } else { "4" };
        match version {
            "0.2.0" => {
                fields.retain(|key, _| key == "cniVersion" || key == "dns");
                for ip in ips {
                    let old = json!({"ip": ip["address"], "gateway": ip["gateway"]});
                    fields.insert(format!("ip{}", family(&ip)), old);
                }
            }
            "0.3.0" | "0.3.1" | "0.4.0" => {
                for ip in fields.get_mut("ips").and_then(Value::as_array_mut).into_iter().flatten() {
                    let family = family(ip);
                    ip["version"] = family.into();
                }
                self.drop_fields(fields);
            }
            "1.0.0" => self.drop_fields(fields),
            _ => {}
        }
        result
    }

    /// Drops fields of interfaces that came with 1.1.0.
    fn drop_fields(&self, fields: &mut serde_json::Map<String, Value>) {
        for interface in fields.get_mut("interfaces").and_then(Value::as_array_mut).into_iter().flatten() {
            interface.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "mtu" | "pciID" | "socketPath"));
        }
    }
}

/// The AWS VPC CNI plugin writes the number of a route table into `mac`, from 2 to 254: never a MAC address.
#[test]
fn route_tables_are_no_addresses() {
    let text = texts().into_iter().find(|text| text.contains("{table}")).unwrap();
    for table in 2..=254 {
        let fixture = Fixture::of(&text.replace("{table}", &table.to_string()), 5, &Runtime::Containerd.sandbox(5));
        let file = Runtime::Containerd.attachment(&fixture.results[0], "1.1.0", 5, true).unwrap();
        assert_eq!(file.macs, [], "table {table}");
    }
}
