//! Selects the interfaces that a verb shows.

use std::sync::Arc;

use iface_core::NetnsPattern;

use super::label::LabelSelector;
use crate::config::Config;
use crate::interface::Interface;
use crate::pipeline::Pipeline;
use crate::printable::Printable;

/// Selectors that `list`, `watch` and `top` share; all of them must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selectors {
    /// Only interfaces with these names or alternative names.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only pods of this Kubernetes namespace.
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Pods of all Kubernetes namespaces and interfaces without a pod (the default).
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only the pod with this name.
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Only pods with these labels, as in kubectl: KEY, !KEY, KEY=VALUE, KEY!=VALUE or KEY in (A,B). Needs access to
    /// the API server.
    #[arg(short = 'l', long = "selector", value_name = "LABELS")]
    labels: Vec<LabelSelector>,
    /// Only this network namespace, by name, inode, cookie or /regular expression/; "host" is the host's. May be given
    /// more than once.
    #[arg(long, value_name = "NAME|/REGEX/")]
    netns: Vec<NetnsPattern>,
    /// Only this CNI network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Only this kind of link: veth, bridge, tun…
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

impl Selectors {
    /// Whether the interface matches all selectors.
    #[must_use]
    pub fn select(&self, interface: &Interface) -> bool {
        let owner = interface.owner.as_deref();
        let pod = owner.and_then(|owner| owner.pod());
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|w| found == Some(w));
        (self.names.is_empty() || self.names.iter().any(|name| is_named(interface, name)))
            && (self.netns.is_empty() || self.netns.iter().any(|netns| netns.matches(&interface.netns)))
            && is(&self.namespace, pod.map(|pod| pod.namespace.as_str()))
            && is(&self.pod, pod.map(|pod| pod.name.as_str()))
            && self.labels.iter().all(|label| pod.is_some_and(|pod| label.met_by(&pod.attributes)))
            && is(&self.network, owner.and_then(|owner| owner.network()).map(|name| &**name))
            && is(&self.kind, interface.kind.as_ref().map(|kind| kind.as_str()))
    }
}

impl Selectors {
    /// The configuration with the labels that the selectors need.
    #[must_use]
    pub fn asking(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.pod_labels.extend(self.labels.iter().flat_map(LabelSelector::keys).map(str::to_owned));
        config
    }

    /// Whether one of the names belongs to none of these interfaces.
    #[must_use]
    pub fn lack_a_name(&self, found: &[Arc<Interface>]) -> bool {
        self.lacking(found).next().is_some()
    }

    fn lacking(&self, found: &[Arc<Interface>]) -> impl Iterator<Item = &String> {
        self.names.iter().filter(|name| !found.iter().any(|interface| is_named(interface, name)))
    }

    /// Explains an empty table or a missing name, which would otherwise look like a node without interfaces.
    #[must_use]
    pub fn none(&self, pipeline: &Pipeline, found: &[Arc<Interface>]) -> String {
        let unread = pipeline.owners().borrow().pods_listed.is_none();
        let selectors = self.text(found);
        if selectors.is_empty() {
            return "there is no interface; --exclude-interfaces leaves out lo by default".to_owned();
        }
        let hint = if !self.labels.is_empty() && unread {
            "; labels need access to the API server"
        } else if self.names.iter().any(|name| name == "lo") {
            "; --exclude-interfaces leaves out lo by default"
        } else {
            ""
        };
        format!("no interface matches {selectors}{hint}")
    }

    /// The selectors as they could be given, without names that were found.
    fn text(&self, found: &[Arc<Interface>]) -> String {
        let flag = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let labels: Vec<_> = self.labels.iter().map(ToString::to_string).collect();
        let netns: Vec<_> = self.netns.iter().map(|netns| format!("--netns {netns}")).collect();
        let flags = [
            flag("--namespace", &self.namespace),
            flag("--pod", &self.pod),
            (!labels.is_empty()).then(|| format!("--selector {}", labels.join(","))),
            (!netns.is_empty()).then(|| netns.join(" ")),
            flag("--network", &self.network),
            flag("--kind", &self.kind),
        ];
        let names = self.lacking(found).cloned();
        Printable(names.chain(flags.into_iter().flatten()).collect::<Vec<_>>().join(" ")).to_string()
    }
}

/// As in `ip link show`, an alternative name is a name, too.
fn is_named(interface: &Interface, name: &str) -> bool {
    interface.name == *name || interface.alt_names().any(|alt_name| alt_name == name)
}
