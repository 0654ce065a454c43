//! The filters of outputs, from the words of all settings that narrow outputs.

use iface_core::{Filter, FilterError, HostEnds};

/// The words of the filter's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FilterWords {
    /// Included interfaces.
    pub(super) interfaces: Vec<String>,
    /// Excluded interfaces.
    pub(super) exclude: Vec<String>,
    /// Networks of included addresses.
    pub(super) ips: Vec<String>,
    /// Included network namespaces.
    pub(super) netns: Vec<String>,
    /// Excluded network namespaces.
    pub(super) exclude_netns: Vec<String>,
    /// Outputs without host ends.
    pub(super) host_ends: ExcludeHostEnds,
}

/// Outputs without host ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ExcludeHostEnds {
    /// Metrics.
    #[default]
    Metrics,
    /// All.
    Everywhere,
    /// None.
    Nowhere,
}

impl FilterWords {
    /// The filter of every output, and the filter of metrics.
    ///
    /// # Errors
    /// Each fault with its setting.
    pub(super) fn filters(&self) -> Result<(Filter, Filter), Vec<(&'static str, FilterError)>> {
        const NONE: &[String] = &[];
        let alone = |key, [interfaces, exclude, ips, netns, exclude_netns]: [&[String]; 5]| {
            let names = Filter::from_words(interfaces, exclude, ips).err();
            let spaces = Filter::everything().with_netns(netns, exclude_netns).err();
            names.into_iter().chain(spaces).flatten().map(move |fault| (key, fault))
        };
        let faults: Vec<_> = alone("interfaces", [&self.interfaces, NONE, NONE, NONE, NONE])
            .chain(alone("exclude-interfaces", [NONE, &self.exclude, NONE, NONE, NONE]))
            .chain(alone("interface-ips", [NONE, NONE, &self.ips, NONE, NONE]))
            .chain(alone("include-netns", [NONE, NONE, NONE, &self.netns, NONE]))
            .chain(alone("exclude-netns", [NONE, NONE, NONE, NONE, &self.exclude_netns]))
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let names = Filter::from_words(&self.interfaces, &self.exclude, &self.ips);
        let together = names.and_then(|filter| filter.with_netns(&self.netns, &self.exclude_netns));
        let all =
            together.map_err(|faults| faults.into_iter().map(|fault| ("interface-ips", fault)).collect::<Vec<_>>());
        let (of_all, of_metrics) = match self.host_ends {
            ExcludeHostEnds::Metrics => (HostEnds::Allowed, HostEnds::Repeated),
            ExcludeHostEnds::Everywhere => (HostEnds::Excluded, HostEnds::Excluded),
            ExcludeHostEnds::Nowhere => (HostEnds::Allowed, HostEnds::Allowed),
        };
        all.map(|all| (all.clone().with_host_ends(of_all), all.with_host_ends(of_metrics)))
    }
}
