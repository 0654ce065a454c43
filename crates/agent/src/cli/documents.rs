//! `completions` and `man`: documents made from the command line itself.

use std::io::Write;

use clap_complete::Shell;

use super::command;

/// The flags of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shell that completes.
    shell: Shell,
}

/// Prints a completion script, for example `netns-agent completions bash > /etc/bash_completion.d/netns-agent`.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "netns-agent", &mut script);
    Ok(out.write_all(&script)?)
}

/// Prints the manual page of the program and each of its verbs.
///
/// # Errors
/// When `out` cannot be written.
pub fn man(out: &mut impl Write) -> anyhow::Result<()> {
    let mut command = command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let page = clap_mangen::Man::new(verb.clone());
        page.render_synopsis_section(out)?;
        page.render_description_section(out)?;
        page.render_options_section(out)?;
    }
    Ok(())
}
