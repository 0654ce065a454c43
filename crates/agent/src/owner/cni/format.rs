//! The format of a file of the CNI result cache: libcni's `cachedInfo` (`libcni/api.go` of containernetworking/cni),
//! kind `cniCacheV1`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::owner::kube::annotations::Annotations;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CachedInfo {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) if_name: String,
    #[serde(default)]
    pub(super) network_name: String,
    #[serde(default)]
    pub(super) cni_args: Option<Vec<(String, String)>>,
    #[serde(default)]
    pub(super) netns: Option<String>,
    #[serde(default)]
    pub(super) capability_args: Option<CapabilityArgs>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) result: CniResult,
}

/// Arguments that containerd adds for plugins. Another program may use the keys for another purpose.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CapabilityArgs {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) cgroup_path: Option<String>,
    #[serde(default, deserialize_with = "lenient", rename = "io.kubernetes.cri.pod-annotations")]
    pub(super) annotations: Annotations,
}

/// A CNI result of any version: `ip4` and `ip6` are of 0.2.0 and older.
///
/// The result is a plugin's: a value of another type than the specification's counts as absent, and hides nothing of the rest.
#[derive(Default, Deserialize)]
pub(super) struct CniResult {
    #[serde(default, deserialize_with = "each")]
    pub(super) interfaces: Vec<CniInterface>,
    #[serde(default, deserialize_with = "each")]
    pub(super) ips: Vec<CniIp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) ip4: Option<OldIp>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) ip6: Option<OldIp>,
}

#[derive(Deserialize)]
pub(super) struct CniInterface {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) mac: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) sandbox: String,
}

#[derive(Deserialize)]
pub(super) struct CniIp {
    pub(super) address: String,
}

#[derive(Deserialize)]
pub(super) struct OldIp {
    pub(super) ip: String,
}

/// A value of the right type, or the default.
fn lenient<'de, T: DeserializeOwned + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).unwrap_or_default())
}

/// The elements of the right type.
fn each<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let elements: Vec<Value> = lenient(from)?;
    Ok(elements.into_iter().filter_map(|element| serde_json::from_value(element).ok()).collect())
}
