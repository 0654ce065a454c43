//! `config`: prints or checks settings.

use std::collections::BTreeSet;
use std::io::Write;

use crate::causes::chain;
use crate::cli::print_error;
use crate::config::{Config, Faults, default_file, ignored_variables};
use crate::owner::ApiServer;

/// The flags of `config`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Print a file with all settings, explained and commented out at their defaults.
    #[command(after_help = DEFAULT_EXAMPLES)]
    Default,
    /// Check flags, environment and file for faults.
    #[command(after_help = CHECK_EXAMPLES)]
    Check,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  netns-agent config default > config.yaml
  netns-agent config check --config config.yaml";

const DEFAULT_EXAMPLES: &str = "\
Examples:
  netns-agent config default > config.yaml";

const CHECK_EXAMPLES: &str = "\
Prints all faults at once; the exit code is then 2. Certificates, keys and the
kubeconfig are read, and nothing is connected to. Variables of OpenTelemetry
that are set and have no effect are named on standard error.

Examples:
  netns-agent config check --config config.yaml
  netns-agent config check --engine nsid --poll-period 5s";

/// Runs after the configuration was loaded, which is the check.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    match args.verb {
        Verb::Default => out.write_all(default_file().as_bytes())?,
        Verb::Check => {
            let variables = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
            ignored_variables(variables).iter().for_each(|line| print_error(line));
            writeln!(out, "the configuration is without fault")?;
        }
    }
    Ok(())
}

/// Reads the files that the settings name.
///
/// # Errors
/// All faults of the files at once.
pub async fn check_files(config: &Config) -> Result<(), Faults> {
    let otlp = &config.export.otlp;
    let tls: BTreeSet<_> = otlp.metrics.iter().chain(&otlp.logs).map(|settings| &settings.tls).collect();
    let mut faults: Vec<_> =
        tls.into_iter().filter_map(|files| files.check().err()).map(|error| chain(&error)).collect();
    faults.extend(config.metrics_tls.iter().filter_map(|files| files.check().err()).map(|error| chain(&error)));
    if let Some(path) = config.kubeconfig.as_deref().filter(|_| config.asks_api_server()) {
        faults.extend(ApiServer::connect(Some(path)).await.err().map(|error| chain(&error)));
    }
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

impl Args {
    /// Whether the verb needs the settings to be right.
    #[must_use]
    pub fn checks(&self) -> bool {
        matches!(self.verb, Verb::Check)
    }
}
