//! `config`: prints or checks settings.

use std::io::Write;

use crate::config::default_file;

/// What to do with settings.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Print a file of all settings, each explained and commented out at its default.
    #[command(after_help = DEFAULT_EXAMPLES)]
    Default,
    /// Say whether flags, environment and file are without fault.
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
All faults are told at once; the exit code is 2 where there is any.

Examples:
  netns-agent config check --config config.yaml
  netns-agent config check --engine nsid --poll-period 5s";

/// Runs after the configuration was loaded, so that there is nothing left to check.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    match args.verb {
        Verb::Default => out.write_all(default_file().as_bytes())?,
        Verb::Check => writeln!(out, "the configuration is without fault")?,
    }
    Ok(())
}

impl Args {
    /// Whether the verb needs the settings to be right.
    #[must_use]
    pub fn checks(&self) -> bool {
        matches!(self.verb, Verb::Check)
    }
}
