//! The filters of outputs, from the words of all settings that narrow outputs.

use iface_core::{Filter, FilterError, FilterErrors, HostEnds};

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
    /// Included owners.
    pub(super) owners: Vec<String>,
    /// Excluded owners.
    pub(super) exclude_owners: Vec<String>,
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
        let name = |words: &[String]| Filter::from_words(words, NONE, NONE);
        let netns = |words: &[String]| Filter::everything().with_netns(words, NONE);
        let owner = |words: &[String]| Filter::everything().with_owners(words, NONE);
        let alone = [
            ("interfaces", name(&self.interfaces)),
            ("exclude-interfaces", name(&self.exclude)),
            ("interface-ips", Filter::from_words(NONE, NONE, &self.ips)),
            ("include-netns", netns(&self.netns)),
            ("exclude-netns", netns(&self.exclude_netns)),
            ("include-owner", owner(&self.owners)),
            ("exclude-owner", owner(&self.exclude_owners)),
        ];
        let of_setting = |(key, read): (&'static str, Result<Filter, FilterErrors>)| {
            read.err().into_iter().flatten().map(move |fault| (key, fault))
        };
        let faults: Vec<_> = alone.into_iter().flat_map(of_setting).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let names = Filter::from_words(&self.interfaces, &self.exclude, &self.ips);
        let together = names
            .and_then(|filter| filter.with_netns(&self.netns, &self.exclude_netns))
            .and_then(|filter| filter.with_owners(&self.owners, &self.exclude_owners));
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
