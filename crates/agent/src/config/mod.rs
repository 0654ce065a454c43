//! What the user wants, checked: a table of settings, read from flags, environment and file.

mod document;
mod kind;
mod layers;
mod otlp;
mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction};
use iface_core::{Filter, FilterError, Preferred};
use tracing::level_filters::LevelFilter;

use crate::causes::chain;
use crate::metrics::points::Options;

pub use document::{default_file, markdown};
pub use kind::{Env, Section, Setting, Shape, Unit};
pub use layers::{Environment, Layer, Origin, Words, flags, unknown_variables};
pub use otlp::Otlp;
pub use table::SETTINGS;
pub use value::duration;

/// Everything a user can set, in the form the program uses.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which namespaces and how.
    pub scan: netns_scan::WatchOptions,
    /// By events or by listing.
    pub listen: Listen,
    /// Time between two listings.
    pub poll_period: Duration,
    /// Which interfaces.
    pub filter: Filter,
    filter_words: FilterWords,
    /// Preferred interfaces by MAC prefix.
    pub preferred: Preferred,
    /// Where CNI results are; `None`: not used.
    pub cni_cache_dir: Option<PathBuf>,
    /// This node's name in Kubernetes.
    pub node_name: Option<String>,
    /// How to reach the API server, where it is not the pod's own.
    pub kubeconfig: Option<PathBuf>,
    /// Globs of labels to export.
    pub pod_labels: Vec<String>,
    /// Globs of annotations to export.
    pub pod_annotations: Vec<String>,
    /// What leaves, how and when.
    pub export: Export,
    /// Where the admin server listens; `None`: nowhere.
    pub admin_address: Option<SocketAddr>,
    /// How long the last export may take.
    pub shutdown_grace: Duration,
    /// What to log and how.
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

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// By the kernel's events.
    Watch,
    /// By listing everything again and again.
    Poll,
}

/// The words interfaces are chosen by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FilterWords {
    /// Only these.
    interfaces: Vec<String>,
    /// Not these.
    exclude: Vec<String>,
    /// Only those with an address here.
    ips: Vec<String>,
}

/// What leaves, how and when.
#[derive(Clone, Debug)]
pub struct Export {
    /// Time between two readings of the counters.
    pub interval: Duration,
    /// What of them.
    pub options: Options,
    /// Whether scrapers see interfaces.
    pub prometheus: Prometheus,
    /// Whether interface events are sent as logs.
    pub events: bool,
    /// Where to.
    pub otlp: Otlp,
}

/// Whether scrapers see interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prometheus {
    /// Where nothing is sent with OTLP.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Export {
    /// Whether scrapers see interfaces.
    #[must_use]
    pub fn shows_interfaces(&self) -> bool {
        match self.prometheus {
            Prometheus::Auto => self.otlp.metrics.is_none(),
            Prometheus::On => true,
            Prometheus::Off => false,
        }
    }
}

/// What to log and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level, where the user says.
    pub level: Option<LevelFilter>,
    /// How it is written.
    pub format: LogFormat,
}

/// How log messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// Everything that is wrong with a configuration, a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} fault{} in the configuration:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Where the configuration is read from, kept so that it can be read again.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// What the flags say.
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

    /// Reads everything and checks it.
    ///
    /// # Errors
    /// All faults of all places at once.
    pub fn load(&self, environment: Environment<'_>) -> Result<Config, Faults> {
        let (variables, mut faults) = layers::environment(environment);
        let (file, unread) = self.file.as_deref().map(layers::file).unwrap_or_default();
        faults.extend(unread);
        let mut config = Config::unset();
        let said = |key: &str| [&self.flags, &variables, &file].into_iter().find_map(|layer| layer.get(key)).cloned();
        for setting in SETTINGS {
            let default =
                || Words { words: setting.shape.split(setting.default), origin: Origin::Default(setting.key) };
            let Words { words, origin } = said(setting.key).unwrap_or_else(default);
            if let Err(fault) = (setting.set)(&mut config, &words) {
                faults.push(format!("{origin}: {fault}"));
            }
            config.words.0.insert(setting.key, words);
        }
        let words = std::mem::take(&mut config.filter_words);
        match words.filter() {
            Ok(filter) => config.filter = filter,
            Err(wrong) => faults.extend(wrong.into_iter().map(|(key, fault)| {
                let origin = said(key).map_or(Origin::Default(key), |words| words.origin);
                format!("{origin}: {}", chain(&fault))
            })),
        }
        match otlp::resolve(&said, environment) {
            Ok(otlp) => config.export.otlp = otlp,
            Err(wrong) => faults.extend(wrong),
        }
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }
}

impl FilterWords {
    /// # Errors
    /// Each fault with the setting it is of.
    fn filter(&self) -> Result<Filter, Vec<(&'static str, FilterError)>> {
        const NONE: &[String] = &[];
        let alone = |key, [interfaces, exclude, ips]: [&[String]; 3]| {
            let faults = Filter::from_words(interfaces, exclude, ips).err().unwrap_or_default();
            faults.into_iter().map(move |fault| (key, fault))
        };
        let faults: Vec<_> = alone("interfaces", [&self.interfaces, NONE, NONE])
            .chain(alone("exclude-interfaces", [NONE, &self.exclude, NONE]))
            .chain(alone("interface-ips", [NONE, NONE, &self.ips]))
            .collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let together = Filter::from_words(&self.interfaces, &self.exclude, &self.ips);
        together.map_err(|faults| faults.into_iter().map(|fault| ("interface-ips", fault)).collect())
    }
}

/// The settings that a reload applies.
pub const RELOADED: [&str; 5] = ["interfaces", "exclude-interfaces", "interface-ips", "pod-labels", "pod-annotations"];

impl Config {
    /// The settings whose values differ from those of `running` and that a reload does not apply.
    #[must_use]
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let differs = |(key, words): (&&'static str, &Vec<String>)| {
            let differs = running.words.0.get(key) != Some(words) && !RELOADED.contains(key);
            differs.then_some(*key)
        };
        self.words.0.iter().filter_map(differs).collect()
    }

    /// Before any setting is applied; [`ConfigSources::load`] sets every field from the table.
    fn unset() -> Self {
        Self {
            scan: netns_scan::WatchOptions::default(),
            listen: Listen::Watch,
            poll_period: Duration::MAX,
            filter: Filter::default(),
            filter_words: FilterWords::default(),
            preferred: Preferred::default(),
            cni_cache_dir: None,
            node_name: None,
            kubeconfig: None,
            pod_labels: Vec::new(),
            pod_annotations: Vec::new(),
            export: Export {
                interval: Duration::MAX,
                options: Options::default(),
                prometheus: Prometheus::Auto,
                events: false,
                otlp: Otlp::default(),
            },
            admin_address: None,
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
        .help("YAML file of settings, the same words as the flags [env: NETNS_AGENT_CONFIG]")
        .help_heading(Section::Program.heading());
    SETTINGS.iter().filter(|setting| sections.contains(&setting.section)).map(arg).chain([config])
}

fn arg(setting: &Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
    Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value)
        .action(if setting.shape == Shape::One { ArgAction::Set } else { ArgAction::Append })
        .help(format!("{}{default}", setting.help))
        .help_heading(setting.section.heading())
}

/// The variables of this process; one that is no text counts as not set.
#[must_use]
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests;
