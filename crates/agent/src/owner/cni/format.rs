//! The format of a file of the CNI result cache: libcni's `cachedInfo` (`libcni/api.go` of containernetworking/cni),
//! kind `cniCacheV1`.

use serde::Deserialize;

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
    #[serde(default)]
    pub(super) result: Option<CniResult>,
}

/// Arguments that containerd adds for plugins.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CapabilityArgs {
    #[serde(default)]
    pub(super) cgroup_path: Option<serde_json::Value>,
    #[serde(default, rename = "io.kubernetes.cri.pod-annotations")]
    pub(super) annotations: Option<serde_json::Value>,
}

/// A CNI result of any version: `ip4` and `ip6` are of 0.2.0 and older.
#[derive(Default, Deserialize)]
pub(super) struct CniResult {
    #[serde(default)]
    pub(super) interfaces: Option<Vec<CniInterface>>,
    #[serde(default)]
    pub(super) ips: Option<Vec<CniIp>>,
    pub(super) ip4: Option<OldIp>,
    pub(super) ip6: Option<OldIp>,
}

#[derive(Deserialize)]
pub(super) struct CniInterface {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) mac: String,
    #[serde(default)]
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
