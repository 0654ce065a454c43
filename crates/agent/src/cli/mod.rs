//! The command line: one file per verb.

pub mod config;
pub mod doctor;
pub mod documents;
pub mod label;
pub mod list;
pub mod lookup;
mod rates;
pub mod reader;
pub mod select;
mod shown;
pub mod table;
pub mod terminal;
pub mod top;
pub mod tree;
mod unseen;
pub mod watch;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::{Config, ConfigSources, Environment, Faults, Section, args, process_environment};
use crate::pipeline::Pipeline;
use crate::printable::Printable;

/// Finds all network interfaces in all network namespaces of a node and exports their traffic counters.
///
/// Exit codes: 0; 1 for a failure, with one line on standard error; 2 for wrong usage or a fault in
/// the configuration.
#[derive(Clone, Debug, Parser)]
#[command(name = "netns-agent", version, after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

/// A verb.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Follow, export and serve until SIGTERM: the verb of the DaemonSet.
    #[command(after_help = RUN_EXAMPLES)]
    Run,
    /// Print all interfaces once.
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// Print interfaces as they are added, updated and deleted.
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::Args),
    /// Look up an interface by index and MAC address.
    #[command(after_help = lookup::EXAMPLES)]
    Lookup(lookup::Args),
    /// Check kernel, capabilities, mounts, API access and the OTLP endpoint.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor,
    /// Show interfaces by throughput, refreshed; q quits.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
    /// Print the node as a tree, from the network to the pods.
    #[command(after_help = tree::EXAMPLES)]
    Tree(tree::Args),
    /// Print or check settings.
    #[command(after_help = config::EXAMPLES)]
    Config(config::Args),
    /// Print a shell's completion script.
    #[command(after_help = documents::COMPLETIONS_EXAMPLES)]
    Completions(documents::Args),
    /// Print the manual page.
    #[command(after_help = documents::MAN_EXAMPLES)]
    Man,
}

impl Verb {
    /// Reads a variable of this process for the settings of the verb. The variables of OpenTelemetry and of proxies are
    /// often meant for other programs, too, so a verb that sends nothing does not read any.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let sends = matches!(self, Self::Run | Self::Doctor | Self::Config(_));
        let is_foreign = name.starts_with("OTEL_") || name.to_ascii_uppercase().ends_with("_PROXY");
        if is_foreign && !sends { None } else { process_environment(name) }
    }
}

const EXAMPLES: &str = "\
Examples:
  netns-agent list             all interfaces with their pods
  netns-agent top              the busiest ones
  netns-agent watch -o json    events, one object per line
  netns-agent doctor           missing preconditions
  netns-agent run --otlp-endpoint http://localhost:4317
                               export to an OpenTelemetry Collector";

const RUN_EXAMPLES: &str = "\
SIGTERM ends the agent after a last export; a second one ends it at once.
SIGHUP, or a change of the file, applies filters, labels and annotations.

Examples:
  netns-agent run --config /etc/netns-agent/config.yaml
  netns-agent run --otlp-endpoint http://localhost:4317 --log-format json";

/// A parsed command line.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// A verb.
    pub verb: Verb,
    /// Sources of its settings.
    pub sources: ConfigSources,
}

impl Invocation {
    /// Parses a command line.
    ///
    /// # Errors
    /// Clap's error, which `--help` and `--version` are, too.
    pub fn parse(line: impl IntoIterator<Item = OsString>, environment: Environment<'_>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(line)?;
        let verb = Line::from_arg_matches(&matches)?.verb;
        let sources = match matches.subcommand() {
            Some((_, matches)) => {
                ConfigSources::new(matches.subcommand().map_or(matches, |(_, inner)| inner), environment)
            }
            None => ConfigSources::default(),
        };
        Ok(Self { verb, sources })
    }
}

impl Invocation {
    /// The level of logs. Verbs other than `run` print warnings of their own, so they log errors only unless the flag
    /// is given: the level in the file is meant for `run`.
    #[must_use]
    pub fn log_level(&self, config: &Config) -> LevelFilter {
        match self.verb {
            Verb::Run => config.log.level.unwrap_or(LevelFilter::INFO),
            _ if self.sources.flags.contains_key("log-level") => config.log.level.unwrap_or(LevelFilter::ERROR),
            _ => LevelFilter::ERROR,
        }
    }
}

/// The command line without settings.
fn bare() -> clap::Command {
    Line::command()
}

/// The whole command line, with the settings each verb takes as flags.
#[must_use]
pub fn command() -> clap::Command {
    const SEEING: &[Section] = &[Section::Finding, Section::Filtering, Section::Owners, Section::Program];
    let mut command = bare();
    for verb in ["list", "watch", "lookup", "top", "tree"] {
        command = command.mut_subcommand(verb, |verb| verb.args(args(SEEING)));
    }
    command
        .mut_subcommand("run", |verb| verb.args(args(&Section::ALL)))
        .mut_subcommand("doctor", |verb| verb.args(args(&Section::ALL)))
        .mut_subcommand("config", |verb| verb.mut_subcommand("check", |check| check.args(args(&Section::ALL))))
}

/// Whether a failure only means that nobody reads on, as with `netns-agent list | head`.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(ErrorKind::BrokenPipe)
    })
}

/// Reports unseen namespaces, so that nobody takes the output for complete.
fn print_unseen(pipeline: &Pipeline) {
    if let Some(unseen) = pipeline.unseen() {
        print_error(&unseen);
    }
}

/// Writes a line to standard error, and ignores failures to do so.
pub fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "netns-agent: {}", Printable(line));
}

/// Writes all faults of a configuration to standard error, a line each.
pub fn print_faults(faults: &Faults) {
    let _ = writeln!(std::io::stderr(), "netns-agent: {faults}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verb, and every verb of a verb, with its words.
    fn verbs(of: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
        of.get_subcommands()
            .flat_map(|verb| {
                let words = format!("{words} {}", verb.get_name());
                [vec![(words.clone(), verb.clone())], verbs(verb, &words)].concat()
            })
            .collect()
    }

    #[test]
    fn examples_in_help_parse_and_fit() {
        for (words, verb) in [vec![("netns-agent".to_owned(), command())], verbs(&command(), "netns-agent")].concat() {
            let help = verb.get_after_help().unwrap_or_else(|| panic!("{words}: no examples")).to_string();
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{words}:\n{help}");
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{words}: {help}"));
            let mut understood = 0;
            for line in examples.lines().filter_map(|line| line.strip_prefix("  netns-agent")) {
                // Without the explanation after a gap and without the rest of a pipe.
                let line = line.split(['|', '>']).next().unwrap_or_default();
                let line = line.split("  ").next().unwrap_or_default();
                let arguments = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
                let arguments: Vec<_> = std::iter::once("netns-agent".to_owned()).chain(arguments).collect();
                let parsed = Invocation::parse(arguments.iter().map(OsString::from), &|_| None);
                assert!(parsed.is_ok(), "{words}: {line}: {}", parsed.unwrap_err());
                understood += 1;
            }
            assert!(understood > 0, "{words}: {help}");
        }
    }
}
