//! netns-agent: finds every network interface of a Kubernetes node and exports its traffic counters.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use netns_agent::cli::{self, Invocation, Verb};
use netns_agent::config::{Config, ConfigSources, Faults, process_environment, unknown_variables};
use netns_agent::{logging, run};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// Wrong usage, or a fault in the configuration.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // A SIGHUP before its handler is there would end the program.
    run::signals::block();
    let invocation = match Invocation::parse(std::env::args_os(), &process_environment) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if !matches!(invocation.verb, Verb::Run) {
        let _ = run::signals::unblock();
    }
    for name in unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        cli::print_error(&name);
    }
    match execute(&invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(faults) = error.downcast_ref::<Faults>() {
                cli::print_faults(faults);
                return ExitCode::from(USAGE);
            }
            cli::print_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(invocation: &Invocation) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match &invocation.verb {
        Verb::Completions(args) => cli::documents::completions(args, &mut out),
        Verb::Man => cli::documents::man(&mut out),
        Verb::Config(args) if !args.checks() => cli::config::run(args, &mut out),
        verb => {
            let config = invocation.sources.load(&|name| verb.variable(name))?;
            logging::start(invocation.log_level(&config), config.log.format)?;
            raise_file_limit();
            let runtime = runtime()?;
            let result = runtime.block_on(follow(verb, &invocation.sources, &config, &mut out));
            // A resolver of names that hangs keeps nobody waiting.
            runtime.shutdown_background();
            result
        }
    }?;
    Ok(out.flush()?)
}

async fn follow(verb: &Verb, sources: &ConfigSources, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    match verb {
        Verb::Run => run::run(sources, config).await,
        Verb::List(args) => cli::list::run(args, config, out).await,
        Verb::Watch(args) => cli::watch::run(args, config, out).await,
        Verb::Lookup(args) => cli::lookup::run(args, config, out).await,
        Verb::Doctor => cli::doctor::run(config, out).await,
        Verb::Tree(args) => cli::tree::run(args, config, out).await,
        Verb::Top(args) => cli::top::run(args, config).await,
        Verb::Config(args) => {
            cli::config::check_files(config).await?;
            cli::config::run(args, out)
        }
        Verb::Completions(_) | Verb::Man => Ok(()),
    }
}

/// One thread for all tasks; namespaces are entered by a separate thread.
fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// A node can have more namespaces than the usual soft limit of 1024 files; a process may raise its soft limit up to the hard one.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(event.name = "agent.file_limit_unchanged", %error, "cannot raise the limit of open files");
    }
}
