use std::env;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;
use nix::unistd::alarm;

use crate::limits::scaled;
use crate::sandbox;

/// Name of the test that a process runs; unset in the parent process.
const RUN: &str = "NETNS_TESTBED_RUN";
/// Default time limit of a test.
const LIMIT: Duration = Duration::from_secs(60);

/// One named test.
pub struct Test {
    name: String,
    limit: Duration,
    run: Box<dyn Fn() + Send + Sync>,
}

impl Test {
    /// A test that fails when `run` panics, with a name like libtest's: modules of the crate,
    /// function, and the value it is run with.
    pub fn named(
        module: &str,
        function: &str,
        value: Option<&dyn fmt::Display>,
        run: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let modules = module.split("::").skip(1).map(str::to_owned);
        let parts = modules.chain([function.to_owned()]).chain(value.map(ToString::to_string));
        Self { name: parts.collect::<Vec<_>>().join("::"), limit: LIMIT, run: Box::new(run) }
    }

    /// The kernel ends the test's process after this long.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// The `main` of a test binary without libtest: takes the same arguments and prints the same lines.
#[derive(Default)]
pub struct Suite {
    tests: Vec<Test>,
}

impl Suite {
    /// No tests yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds tests.
    #[must_use]
    pub fn tests(mut self, tests: impl IntoIterator<Item = Test>) -> Self {
        self.tests.extend(tests);
        self
    }

    /// Runs the tests that the command line selects, each in a sandboxed process.
    ///
    /// One after another unless `--test-threads` says otherwise: network namespaces are taken down
    /// by one kernel thread, so tests at the same time would measure each other.
    #[must_use]
    pub fn main(self) -> ExitCode {
        match env::var(RUN) {
            Ok(name) => self.run_here(&name),
            Err(_) => self.run_each(),
        }
    }

    /// The caller must still have a single thread; the sandbox depends on this.
    fn run_here(self, name: &str) -> ExitCode {
        let Some(test) = self.tests.into_iter().find(|test| test.name == name) else {
            panic!("{RUN} names no test of this binary: {name}");
        };
        if let Err(error) = sandbox::enter() {
            panic!("{error}");
        }
        alarm::set(u32::try_from(scaled(test.limit).as_secs()).unwrap_or(u32::MAX));
        (test.run)();
        ExitCode::SUCCESS
    }

    fn run_each(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(1);
        let shown = arguments.nocapture;
        let trials = self
            .tests
            .into_iter()
            .map(|Test { name, limit, .. }| Trial::test(name.clone(), move || run_apart(&name, limit, shown)))
            .collect();
        libtest_mimic::run(&arguments, trials).exit_code()
    }
}

fn run_apart(name: &str, limit: Duration, shown: bool) -> Result<(), Failed> {
    let out = || if shown { Stdio::inherit() } else { Stdio::piped() };
    let start = |this| Command::new(this).env(RUN, name).stdin(Stdio::null()).stdout(out()).stderr(out()).spawn();
    let output = env::current_exe()
        .and_then(start)
        .and_then(std::process::Child::wait_with_output)
        .map_err(|e| Failed::from(format!("cannot start the test's process: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", ending(output.status, limit), String::from_utf8_lossy(&said)).into())
}

fn ending(status: ExitStatus, limit: Duration) -> String {
    match status.signal().and_then(|signal| Signal::try_from(signal).ok()) {
        Some(Signal::SIGALRM) => format!("went past its limit of {limit:?}"),
        Some(signal) => format!("ended by {signal}"),
        None => format!("ended with {status}"),
    }
}

/// Records a measurement; `--nocapture` prints measurements.
pub fn figure(measured: fmt::Arguments<'_>) {
    // A closed output loses nothing.
    _ = writeln!(io::stdout(), "figure: {measured}");
}

/// Makes a [`Test`] of each function, with the name of the function; with values, one per function and value.
///
/// `tests![a, b]` takes functions of no argument; `tests![VALUES; a, b]` functions of one, and
/// `VALUES` is a list of `Copy + Display` values that become the end of the names.
#[macro_export]
macro_rules! tests {
    ($values:expr; $($test:path),+ $(,)?) => {
        ($values).into_iter().flat_map(|value| {
            [$($crate::Test::named(module_path!(), stringify!($test), Some(&value), move || $test(value))),+]
        })
    };
    ($($test:path),+ $(,)?) => {
        [$($crate::Test::named(module_path!(), stringify!($test), None, $test)),+]
    };
}
