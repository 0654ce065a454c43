//! `config`: prints or checks settings.

use std::io::Write;

use crate::config::default_file;

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
Prints all faults at once; the exit code is then 2.

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
