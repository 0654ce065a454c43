//! Which interfaces a verb is about.

use crate::interface::Interface;
use iface_core::Place;

use super::label::Requirement;
use super::tell;
use crate::config::Config;
use crate::pipeline::Pipeline;

/// Selectors that `list`, `watch` and `top` share; all of them must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selectors {
    /// Only interfaces with one of these names.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only pods of this Kubernetes namespace.
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Pods of all Kubernetes namespaces, the host's interfaces and those nobody owns (the default).
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only the pod with this name.
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Only pods with these labels, as kubectl has it: KEY, KEY=VALUE or KEY!=VALUE. Labels are known
    /// where the API server is asked.
    #[arg(short = 'l', long = "selector", value_name = "LABELS", value_delimiter = ',')]
    labels: Vec<Requirement>,
    /// Only this network namespace; "host" is the host's. May be given more than once.
    #[arg(long, value_name = "NAME")]
    netns: Vec<String>,
    /// Only this CNI network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Only this kind of link: veth, bridge, tun…
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

impl Selectors {
    /// Whether the interface is meant.
    #[must_use]
    pub fn select(&self, interface: &Interface) -> bool {
        let owner = interface.owner.as_deref();
        let pod = owner.map(|owner| &*owner.pod);
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|w| found == Some(w));
        (self.names.is_empty() || self.names.iter().any(|name| interface.name == **name))
            && (self.netns.is_empty() || self.netns.iter().any(|name| is_named(&interface.netns.place, name)))
            && is(&self.namespace, pod.map(|pod| pod.namespace.as_str()))
            && is(&self.pod, pod.map(|pod| pod.name.as_str()))
            && self.labels.iter().all(|label| pod.is_some_and(|pod| label.met_by(&pod.attributes)))
            && is(&self.network, owner.and_then(|owner| owner.network.as_deref()))
            && is(&self.kind, interface.kind.as_ref().map(|kind| kind.as_str()))
    }
}

impl Selectors {
    /// The configuration with which the labels of pods are known that are asked for here.
    #[must_use]
    pub fn asking(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.pod_labels.extend(self.labels.iter().map(|label| label.key().to_owned()));
        config
    }

    /// Says why nothing may have been selected: an empty answer looks like an empty node.
    pub fn tell_none(&self, pipeline: &Pipeline) {
        let unasked = pipeline.owners().borrow().pods_listed.is_none();
        if !self.labels.is_empty() && unasked {
            tell("no interface is selected: labels are known from the API server only, which is not asked");
        } else {
            tell("no interface is selected; --exclude-interfaces leaves out lo unless it says otherwise");
        }
    }
}

fn is_named(place: &Place, name: &str) -> bool {
    match place {
        Place::Host => name == "host",
        Place::Named(own) => *own == *name,
    }
}
