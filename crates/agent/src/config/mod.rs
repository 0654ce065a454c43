//! Configuration: a table of settings, read from flags, environment and file, and validated.

mod document;
mod filter;
mod foreign;
mod kind;
mod layers;
mod otlp;
mod server;
mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction};
use iface_core::{Filter, Preferred};
use tracing::level_filters::LevelFilter;

use crate::admin::ServerFiles;
use crate::causes::chain;
use crate::export::entity::Entities;
use crate::metrics::points::{Options, PageNames, Temporality};
use crate::printable::Printable;

use filter::FilterWords;
use server::TlsPaths;

pub use document::{default_file, markdown};
pub use foreign::ignored_variables;
pub use kind::{Env, Section, Setting, Shape, Unit};
pub use layers::{Environment, Layer, Origin, Words, flags, unknown_variables};
pub use otlp::Otlp;
pub use server::{AdminSocket, Authorization};
pub use table::settings;
pub use value::duration;

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Network namespaces and the engine that reads them.
    pub scan: netns_scan::WatchOptions,
    /// Kernel events or listings.
    pub listen: Listen,
    /// Time between two listings.
    pub poll_period: Duration,
    /// Filter of every output.
    pub filter: Filter,
    /// Filter of metrics: the filter of every output, by default without host ends.
    pub metrics_filter: Filter,
    filter_words: FilterWords,
    /// Preferred interfaces by MAC prefix.
    pub preferred: Preferred,
    /// Directories of CNI results.
    pub cni_cache_dirs: Vec<PathBuf>,
    /// Directories of records of containers that are no pods.
    pub container_dirs: Vec<PathBuf>,
    /// Whether to watch the pods of this node at the API server.
    pub watch_pods: bool,
    /// Whether to watch ResourceClaims where the pods are watched.
    pub watch_resource_claims: bool,
    /// This node's name in Kubernetes.
    pub node_name: Option<String>,
    /// Kubeconfig for the API server; `None`: the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Globs of labels to export.
    pub pod_labels: Vec<String>,
    /// Globs of annotations to export.
    pub pod_annotations: Vec<String>,
    /// Exports.
    pub export: Export,
    /// Address of the admin server; `None`: none.
    pub admin_address: Option<SocketAddr>,
    /// Unix socket of the admin server.
    pub admin_socket: AdminSocket,
    /// Address of the server of metrics and probes alone; `None`: none.
    pub metrics_address: Option<SocketAddr>,
    /// TLS of the server of metrics.
    pub metrics_tls: Option<ServerFiles>,
    /// Tokens that clients of the server of metrics need.
    pub metrics_authorization: Authorization,
    tls_paths: TlsPaths,
    /// Time limit of the last export.
    pub shutdown_grace: Duration,
    /// Level and format of logs.
    pub log: Log,
    /// The words of every setting, for [`Config::needs_restart`].
    words: SettingWords,
}

/// The words of every setting. They may hold secrets, so `Debug` shows none.
#[derive(Clone, Default, PartialEq, Eq)]
struct SettingWords(BTreeMap<&'static str, Vec<String>>);

impl fmt::Debug for SettingWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Source of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Kernel events.
    Watch,
    /// Periodic listings.
    Poll,
}

/// Exports.
#[derive(Clone, Debug)]
pub struct Export {
    /// Time between two readings of the counters.
    pub interval: Duration,
    /// Selection of metrics and attributes.
    pub options: Options,
    /// Interfaces on the metrics page.
    pub prometheus: Prometheus,
    /// Names of pods' counters on the metrics page.
    pub prometheus_names: PageNames,
    /// Start times of counters on the metrics page.
    pub prometheus_created: bool,
    /// Counters of protocols of pods on the metrics page.
    pub protocol_stats: bool,
    /// Longest time an ended interface stays on the metrics page without a scrape.
    pub keep_ended: Duration,
    /// Folder of the state that survives the agent.
    pub state_dir: Option<PathBuf>,
    /// Export interface events as logs.
    pub events: bool,
    /// Use of entities.
    pub entities: Entities,
    /// OTLP destinations.
    pub otlp: Otlp,
}

/// Interfaces on the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prometheus {
    /// Unless OTLP exports them.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Export {
    /// Interfaces on the metrics page.
    #[must_use]
    pub fn shows_interfaces(&self) -> bool {
        match self.prometheus {
            Prometheus::Auto => self.otlp.metrics.is_none(),
            Prometheus::On => true,
            Prometheus::Off => false,
        }
    }
}

/// Level and format of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least severe level; `None`: the verb's default.
    pub level: Option<LevelFilter>,
    /// Format of lines.
    pub format: LogFormat,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// All faults of a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} fault{} in the configuration:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {}", Printable(fault)))
    }
}

/// Sources of the configuration, kept for reloads.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// Settings from flags.
    pub flags: Layer,
    /// The file, if any.
    pub file: Option<PathBuf>,
}

impl ConfigSources {
    /// From a verb's flags, and `NETNS_AGENT_CONFIG` where they name no file.
    #[must_use]
    pub fn new(matches: &clap::ArgMatches, environment: Environment<'_>) -> Self {
        let named = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
        let file = named.or_else(|| environment("NETNS_AGENT_CONFIG").filter(|p| !p.is_empty()).map(PathBuf::from));
        Self { flags: flags(matches), file }
    }

    /// Reads and validates all sources.
    ///
    /// # Errors
    /// All faults of all sources at once.
    pub fn load(&self, environment: Environment<'_>) -> Result<Config, Faults> {
        let (variables, mut faults) = layers::environment(environment);
        let (file, unread) = self.file.as_deref().map(layers::file).unwrap_or_default();
        faults.extend(unread);
        let mut config = Config::unset();
        let words_of =
            |key: &str| [&self.flags, &variables, &file].into_iter().find_map(|layer| layer.get(key)).cloned();
        for setting in settings() {
            let default =
                || Words { words: setting.shape.split(setting.default), origin: Origin::Default(setting.key) };
            let Words { words, origin } = words_of(setting.key).unwrap_or_else(default);
            if let Err(fault) = (setting.set)(&mut config, &words) {
                faults.push(format!("{origin}: {fault}"));
            }
            config.words.0.insert(setting.key, words);
        }
        let words = std::mem::take(&mut config.filter_words);
        match words.filters() {
            Ok((all, metrics)) => (config.filter, config.metrics_filter) = (all, metrics),
            Err(wrong) => faults.extend(wrong.into_iter().map(|(key, fault)| {
                let origin = words_of(key).map_or(Origin::Default(key), |words| words.origin);
                format!("{origin}: {}", chain(&fault))
            })),
        }
        let paths = std::mem::take(&mut config.tls_paths);
        match paths.files(config.metrics_address.is_some()) {
            Ok(files) => config.metrics_tls = files,
            Err(fault) => faults.push(fault.to_owned()),
        }
        let authorization = config.metrics_authorization.check(config.metrics_address, config.metrics_tls.is_some());
        faults.extend(authorization.err().map(str::to_owned));
        match otlp::resolve(&words_of, environment) {
            Ok(otlp) => config.export.otlp = otlp,
            Err(wrong) => faults.extend(wrong),
        }
        let metrics = config.export.otlp.metrics.as_ref();
        if config.export.state_dir.is_some() && metrics.is_some_and(|metrics| metrics.temporality == Temporality::Delta)
        {
            faults.push(NO_STATE_OF_DELTA.to_owned());
        }
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }
}

const NO_STATE_OF_DELTA: &str = "--state-dir keeps totals, and --otlp-temporality-preference asks for differences: \
                                 leave out one of them";

impl Config {
    /// The settings whose values differ from those of `running` and that a reload does not apply.
    #[must_use]
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let differs = |key: &&str| running.words.0.get(key) != self.words.0.get(key);
        settings().filter(|setting| !setting.reloads).map(|setting| setting.key).filter(differs).collect()
    }

    /// Whether any part asks the API server.
    #[must_use]
    pub fn asks_api_server(&self) -> bool {
        self.watch_pods || self.metrics_authorization == Authorization::Kubernetes
    }

    /// Before any setting is applied; [`ConfigSources::load`] sets every field from the table.
    fn unset() -> Self {
        Self {
            scan: netns_scan::WatchOptions::default(),
            listen: Listen::Watch,
            poll_period: Duration::MAX,
            filter: Filter::default(),
            metrics_filter: Filter::default(),
            filter_words: FilterWords::default(),
            preferred: Preferred::default(),
            cni_cache_dirs: Vec::new(),
            container_dirs: Vec::new(),
            watch_pods: true,
            watch_resource_claims: true,
            node_name: None,
            kubeconfig: None,
            pod_labels: Vec::new(),
            pod_annotations: Vec::new(),
            export: Export {
                interval: Duration::MAX,
                options: Options::default(),
                prometheus: Prometheus::Auto,
                prometheus_names: PageNames::default(),
                prometheus_created: false,
                protocol_stats: false,
                keep_ended: Duration::MAX,
                state_dir: None,
                events: false,
                entities: Entities::Off,
                otlp: Otlp::default(),
            },
            admin_address: None,
            admin_socket: AdminSocket::default(),
            metrics_address: None,
            metrics_tls: None,
            metrics_authorization: Authorization::Open,
            tls_paths: TlsPaths::default(),
            shutdown_grace: Duration::ZERO,
            log: Log { level: None, format: LogFormat::Text },
            words: SettingWords::default(),
        }
    }
}

/// The flags of these sections, and `--config`.
pub fn args(sections: &'static [Section]) -> impl Iterator<Item = Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("YAML file of settings, with the flags' names as keys [env: NETNS_AGENT_CONFIG]")
        .help_heading(Section::Program.heading());
    let of = |section: &'static Section| table::of(*section).iter().map(|setting| arg(*section, setting));
    sections.iter().flat_map(of).chain([config])
}

fn arg(section: Section, setting: &Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value)
        .action(if setting.shape == Shape::One { ArgAction::Set } else { ArgAction::Append })
        .help(format!("{}{default}", setting.help))
        .help_heading(section.heading())
}

/// The variables of this process; a variable that is not UTF-8 counts as unset.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
