//! `completions` and `man`: documents made from the command line itself.

use std::io::Write;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{bare, command};
use crate::config::{Section, args};

/// The flags of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell that completes.
    shell: Shell,
}

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  netns-agent completions bash > /etc/bash_completion.d/netns-agent
  netns-agent completions zsh > /usr/local/share/zsh/site-functions/_netns-agent
  netns-agent completions fish > ~/.config/fish/completions/netns-agent.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  netns-agent man | man -l -
  netns-agent man > /usr/local/share/man/man1/netns-agent.1";

/// Prints a completion script.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    // The generator panics on write errors, so the output goes to memory first.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "netns-agent", &mut script);
    Ok(out.write_all(&script)?)
}

/// Sections of the manual page that clap cannot generate.
const AFTER: &str = r#".SH ENVIRONMENT
Every setting is also a variable: NETNS_AGENT_ and its name in capitals, with _ for \-. Flags win over variables,
variables over the file. OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and its like) count, too.
.TP
NETNS_AGENT_CONFIG
the file of settings, as \-\-config
.TP
NO_COLOR
if not empty, no colours
.SH FILES
.TP
/var/run/netns
names of network namespaces
.TP
/var/lib/cni/results
which pod and network each of them belongs to
.SH EXIT STATUS
.TP
0
all is well, or whoever read the output did not want more
.TP
1
a failure, with one line on standard error; for doctor, a precondition that does not hold
.TP
2
wrong usage, or a fault in the configuration
.SH SEE ALSO
.BR ip\-netns (8),
.BR ip\-link (8)
"#;

/// Prints the manual page: of the program, each of its verbs, and the settings they share.
///
/// # Errors
/// When `out` cannot be written.
pub fn man(out: &mut impl Write) -> anyhow::Result<()> {
    let mut program = bare();
    program.build();
    let page = Man::new(program.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    verbs(&program, out)?;
    writeln!(out, ".SH SETTINGS")?;
    writeln!(out, "run, doctor and config check take all of them, list, watch, lookup, top and tree those that are")?;
    writeln!(out, "not about exporting. The keys of the file are the flags' names without the leading dashes.")?;
    let settings = Command::new("settings").disable_help_flag(true).args(args(&Section::ALL));
    subsections(|text| Man::new(settings).render_options_section(text), out)?;
    Ok(out.write_all(AFTER.as_bytes())?)
}

/// A section for each verb, and for each verb of a verb.
fn verbs(of: &Command, out: &mut impl Write) -> anyhow::Result<()> {
    for verb in of.get_subcommands().filter(|verb| verb.get_name() != "help") {
        if verb.has_subcommands() {
            verbs(verb, out)?;
            continue;
        }
        writeln!(out, ".SH \"{}\"", verb.get_bin_name().unwrap_or(verb.get_name()).to_uppercase())?;
        let page = Man::new(verb.clone());
        subsections(|text| page.render_synopsis_section(text), out)?;
        subsections(|text| page.render_description_section(text), out)?;
        subsections(|text| page.render_options_section(text), out)?;
        if let Some(examples) = verb.get_after_help() {
            // Verbatim, because filling would join the lines.
            let text = examples.to_string().replace('\\', "\\e").replace('-', "\\-").replace("\n'", "\n\\&'");
            writeln!(out, ".PP\n.nf\n{text}\n.fi")?;
        }
    }
    Ok(())
}

/// Renders a section as subsections.
fn subsections(
    render: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace("\n.SH ", "\n.SS ");
    out.write_all(text.strip_prefix(".SH ").map_or_else(|| text.clone(), |rest| format!(".SS {rest}")).as_bytes())
}
