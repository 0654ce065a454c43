//! Reads one record: from bytes to a [`Record`].
//!
//! Docker: `containers/ID/config.v2.json`. The file has the container's environment as well, so only the fields below
//! are read, and no error quotes the content. podman and CRI-O: the OCI configuration in
//! `overlay-containers/ID/userdata/config.json`, with podman's names in `overlay-containers/containers.json`; containerd:
//! the OCI configuration of a task, see [`oci`](super::oci). systemd-machined: `machines/NAME`, see `sd-login(3)`. LXC:
//! `lxc/NAME/config`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use iface_core::{IfName, MacAddr, NetnsName, NsFile};
use serde::Deserialize;

use crate::interface::{Pod, Runtime};
use crate::owner::cni::result::{is_random_uuid, is_short_id};
use crate::owner::container::user_netns::UserNetns;

/// Size limit of a record, bytes; real records have a few thousand.
pub const MAX_RECORD: u64 = 1 << 20;

/// Largest number of links of a container in use.
const MAX_LINKS: usize = 64;

/// Size limit of a name, an id or an image, bytes.
const MAX_TEXT: usize = 255;

/// A container with a namespace of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The runtime.
    pub runtime: Runtime,
    /// Name of the container.
    pub name: String,
    /// Id of the container.
    pub id: String,
    /// Name of the image, if recorded.
    pub image: Option<String>,
    /// The claimed namespace.
    pub claim: Claim,
    /// Names of the runtime's networks by the link-layer address inside.
    pub networks: Vec<(MacAddr, Arc<str>)>,
}

/// The namespace that a record claims.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// By a name that the runtime has drawn, and that never means another namespace.
    Name(NetnsName),
    /// By the ifindexes of the host's ends of links.
    HostEnds(Vec<u32>),
    /// By the first process of the container, which is in the namespace.
    Space(NsFile),
    /// By a process of a user, in a namespace of the user.
    UserNetns(UserNetns),
    /// By the links in a configuration.
    Links(Vec<Link>),
}

/// The pod of a sandbox, and the sandbox's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The pod, without workload and attributes of the API server.
    pub pod: Arc<Pod>,
    /// The name of the namespace.
    pub netns: NetnsName,
}

/// The subject of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A container that is no pod's.
    Container(Record),
    /// A pod, in the record of its sandbox or of one of its containers.
    Pod(Sandbox),
}

/// A link of a container that its configuration describes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// By the address inside, which no other namespace may have.
    Mac(MacAddr),
    /// By the name of the host's end, where no address is set.
    End(IfName),
}

/// Reason for a record without a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclaimed {
    /// Not the format of the runtime.
    #[error("is not the record of a container")]
    Malformed,
    /// A container of Kubernetes: its pod owns the namespace.
    #[error("is about a container of a pod")]
    OfPod,
    /// The container is stopped, or uses the namespace of the host or of another container.
    #[error("names no network namespace that the runtime has made for the container")]
    NoNetns,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    config: Option<DockerConfig>,
    network_settings: Option<DockerNetworks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerNetworks {
    sandbox_key: Option<String>,
    networks: Option<BTreeMap<String, Option<DockerEndpoint>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEndpoint {
    mac_address: Option<String>,
}

/// Reads Docker's `config.v2.json`.
///
/// # Errors
/// Where the record claims no namespace.
pub fn docker(content: &[u8]) -> Result<Record, Unclaimed> {
    let docker: Docker = serde_json::from_slice(content).map_err(|_| Unclaimed::Malformed)?;
    let config = docker.config.unwrap_or(DockerConfig { image: None, labels: None });
    // cri-dockerd's pods are containers of Docker, too.
    if config.labels.unwrap_or_default().contains_key("io.kubernetes.pod.name") {
        return Err(Unclaimed::OfPod);
    }
    let settings = docker.network_settings.ok_or(Unclaimed::NoNetns)?;
    let claim = sandbox(settings.sandbox_key.as_deref())?;
    let networks = settings.networks.unwrap_or_default().into_iter();
    let networks = networks.filter_map(|(name, endpoint)| {
        let mac = endpoint?.mac_address?.parse().ok()?;
        Some((mac, Arc::from(text(&name)?)))
    });
    Ok(Record {
        runtime: Runtime::Docker,
        name: text(docker.name.trim_start_matches('/')).ok_or(Unclaimed::Malformed)?,
        id: text(&docker.id).ok_or(Unclaimed::Malformed)?,
        image: config.image.as_deref().and_then(text),
        claim,
        networks: networks.collect(),
    })
}

/// Names and images of podman's containers, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, Named>);

impl Names {
    /// Name and image of a container; the name is the beginning of the id where none is recorded.
    pub(super) fn of(&self, id: &str) -> (String, Option<String>) {
        let named = self.0.get(id);
        let name = named.and_then(|named| named.name.as_deref()).and_then(text);
        let image = named.and_then(|named| named.image.as_deref()).and_then(text);
        (name.unwrap_or_else(|| id.chars().take(12).collect()), image)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: Option<String>,
    image: Option<String>,
}

#[derive(Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image_name: Option<String>,
}

/// Reads `containers.json` of containers/storage; no names where the content is something else.
#[must_use]
pub fn names(content: &[u8]) -> Names {
    let stored: Vec<Stored> = serde_json::from_slice(content).unwrap_or_default();
    let named = |one: Stored| {
        let metadata = one.metadata.and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
        let image = metadata.and_then(|metadata| metadata.image_name).filter(|image| !image.is_empty());
        (one.id, Named { name: one.names.unwrap_or_default().into_iter().next(), image })
    };
    Names(stored.into_iter().map(named).collect())
}

/// Reads a record of systemd-machined about the machine `name`.
///
/// # Errors
/// Where the record claims no namespace.
pub fn machine(name: &str, content: &[u8]) -> Result<Record, Unclaimed> {
    let content = std::str::from_utf8(content).map_err(|_| Unclaimed::Malformed)?;
    let value = |key: &str| content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    // libvirt's virtual machines have records as well, but no namespace.
    let runtime = match value("SERVICE") {
        Some("systemd-nspawn") => Runtime::Nspawn,
        Some("libvirt-lxc") => Runtime::LibvirtLxc,
        _ => return Err(Unclaimed::NoNetns),
    };
    let ends: Vec<u32> = value("NETIF").unwrap_or_default().split(' ').filter_map(|index| index.parse().ok()).collect();
    if ends.is_empty() {
        return Err(Unclaimed::NoNetns);
    }
    let name = text(name).ok_or(Unclaimed::Malformed)?;
    let id = value("ID").and_then(text).unwrap_or_else(|| name.clone());
    Ok(Record { runtime, name, id, image: None, claim: Claim::HostEnds(ends), networks: Vec::new() })
}

/// Reads the configuration of LXC's container `name` (`lxc.container.conf(5)`), in the words since LXC 2.1.
///
/// LXC has no record of a running container, but its interfaces have the link-layer addresses, or the names of the
/// host's ends, that the configuration sets; `lxc-create` sets an address.
///
/// # Errors
/// Where the record claims no namespace.
pub fn lxc(name: &str, content: &[u8]) -> Result<Record, Unclaimed> {
    let content = std::str::from_utf8(content).map_err(|_| Unclaimed::Malformed)?;
    let mut links: BTreeMap<u32, (Option<MacAddr>, Option<IfName>)> = BTreeMap::new();
    for line in content.lines() {
        let setting = line.trim().strip_prefix("lxc.net.").and_then(|line| line.split_once('='));
        let Some((number, key)) = setting.and_then(|(key, _)| key.trim().split_once('.')) else { continue };
        let (Ok(number), value) = (number.parse(), setting.map_or("", |(_, value)| value.trim())) else { continue };
        let (mac, end) = links.entry(number).or_default();
        match key {
            "hwaddr" => *mac = value.parse().ok().filter(|mac: &MacAddr| mac.as_bytes().len() == 6),
            "veth.pair" => *end = IfName::new(value).filter(|name| !name.as_bytes().is_empty()),
            _ => {}
        }
    }
    let link = |(mac, end): (Option<MacAddr>, Option<IfName>)| mac.map(Link::Mac).or_else(|| end.map(Link::End));
    let links: Vec<Link> = links.into_values().filter_map(link).take(MAX_LINKS).collect();
    if links.is_empty() {
        return Err(Unclaimed::NoNetns);
    }
    let name = text(name).ok_or(Unclaimed::Malformed)?;
    let (id, claim) = (name.clone(), Claim::Links(links));
    Ok(Record { runtime: Runtime::Lxc, name, id, image: None, claim, networks: Vec::new() })
}

/// Only random names prove a namespace: other names, as of `podman run --network ns:PATH`, are somebody else's, and
/// records stay after their containers. `/proc/PID/ns/net` is another container's.
pub(super) fn sandbox(path: Option<&str>) -> Result<Claim, Unclaimed> {
    let path = path.map(Path::new).filter(|path| path.is_absolute() && !path.starts_with("/proc"));
    let name = path.and_then(Path::file_name).map(|name| NetnsName::new(name.as_encoded_bytes()));
    let random = name.filter(|name| is_random_uuid(name) || is_short_id(name));
    random.map(Claim::Name).ok_or(Unclaimed::NoNetns)
}

/// A text that fits into attributes and tables.
pub(super) fn text(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a5d1f0e6b7c8a1234";

    fn docker_file(key: &str, label: &str) -> Vec<u8> {
        serde_json::json!({
            "ID": ID, "Name": "/web", "State": {"Running": true, "Pid": 77},
            "Config": {"Image": "nginx:1.27", "Env": ["TOKEN=secret"], "Labels": {label: "shop"}},
            "NetworkSettings": {
                "SandboxKey": key,
                "Networks": {"front": {"MacAddress": "02:42:ac:11:00:02"}, "back": null},
            },
        })
        .to_string()
        .into_bytes()
    }

    const KEY: &str = "/var/run/docker/netns/0a1b2c3d4e5f";

    #[test]
    fn docker_record_claims_its_sandbox() {
        let record = docker(&docker_file(KEY, "com.docker.compose.project")).unwrap();
        assert_eq!(
            (record.name.as_str(), record.id.as_str(), record.image.as_deref()),
            ("web", ID, Some("nginx:1.27"))
        );
        assert_eq!(record.claim, Claim::Name(NetnsName::new("0a1b2c3d4e5f")));
        assert_eq!(record.networks, [("02:42:ac:11:00:02".parse().unwrap(), "front".into())]);
        assert!(!format!("{record:?}").contains("secret"));
    }

    #[test]
    fn pods_containers_claim_nothing() {
        assert_eq!(docker(&docker_file(KEY, "io.kubernetes.pod.name")), Err(Unclaimed::OfPod));
    }

    /// The host's namespace, a namespace given by a user, and no namespace after the stop.
    #[test]
    fn foreign_namespaces_are_not_claimed() {
        for key in ["", "/var/run/docker/netns/default", "0a1b2c3d4e5f", "/run/docker/netns/.."] {
            assert_eq!(docker(&docker_file(key, "x")), Err(Unclaimed::NoNetns), "{key}");
        }
    }

    #[test]
    fn machine_record_claims_host_ends() {
        let text = "# This is private data.\nNAME=web\nSERVICE=systemd-nspawn\nCLASS=container\nID=aa\nNETIF=12 14\n";
        let record = machine("web", text.as_bytes()).unwrap();
        assert_eq!((record.runtime, record.id.as_str()), (Runtime::Nspawn, "aa"));
        assert_eq!(record.claim, Claim::HostEnds(vec![12, 14]));
        let libvirt = machine("lxc-1-web", text.replace("systemd-nspawn", "libvirt-lxc").as_bytes()).unwrap();
        assert_eq!(libvirt.runtime, Runtime::LibvirtLxc);
        for other in
            ["SERVICE=libvirt-qemu\nNETIF=12\n", "SERVICE=systemd-nspawn\n", "", "SERVICE=systemd-nspawn\nNETIF=x"]
        {
            assert_eq!(machine("vm", other.as_bytes()), Err(Unclaimed::NoNetns), "{other}");
        }
    }

    #[test]
    fn lxc_configuration_claims_its_links() {
        let config = "# Template used: download\nlxc.include = /usr/share/lxc/config/common.conf\nlxc.arch = linux64\n\
            lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\nlxc.net.0.hwaddr = 00:16:3e:12:34:56\n\
            lxc.net.0.veth.pair = web0\nlxc.net.1.veth.pair=web1\nlxc.net.2.type = veth\n\
            lxc.environment = TOKEN=secret\n";
        let record = lxc("web", config.as_bytes()).unwrap();
        assert_eq!((record.runtime, record.name.as_str(), record.id.as_str()), (Runtime::Lxc, "web", "web"));
        let links = [Link::Mac([0, 0x16, 0x3e, 0x12, 0x34, 0x56].into()), Link::End(IfName::new("web1").unwrap())];
        assert_eq!(record.claim, Claim::Links(links.to_vec()));
        assert!(!format!("{record:?}").contains("secret"));
        for none in [
            "",
            "lxc.net.0.type = none",
            "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx",
            "lxc.net.x.hwaddr = 00:16:3e:12:34:56",
        ] {
            assert_eq!(lxc("web", none.as_bytes()), Err(Unclaimed::NoNetns), "{none}");
        }
        assert_eq!(lxc("web", b"\xff"), Err(Unclaimed::Malformed));
    }

    #[test]
    fn hostile_records_are_refused() {
        let deep = "[".repeat(100_000);
        for content in [&b"\xff"[..], b"", b"{}", b"[]", b"null", deep.as_bytes(), br#"{"ID": 7, "Name": "web"}"#] {
            assert_eq!(docker(content), Err(Unclaimed::Malformed));
        }
        for name in ["/", "/a\nb", &"x".repeat(256)] {
            let text = String::from_utf8(docker_file(KEY, "x")).unwrap();
            let named = text.replace("\"/web\"", &serde_json::to_string(name).unwrap());
            assert_eq!(docker(named.as_bytes()), Err(Unclaimed::Malformed));
        }
    }
}
