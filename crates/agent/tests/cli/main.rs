//! The program from outside: real namespaces, CNI cache files made by hand, a real OTLP receiver.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod account;
mod client;
mod list;
mod processes;
mod program;
mod protocols;
mod receiver;
mod returned;
mod run;
mod scene;
mod terminal;
mod tree;
mod unnamed;
mod usage;
mod watch;

use std::process::ExitCode;

use netns_testbed::Suite;

fn main() -> ExitCode {
    let suite = Suite::new().tests(list::tests()).tests(watch::tests());
    let suite = suite.tests(client::tests()).tests(tree::tests());
    let suite = suite.tests(account::tests()).tests(returned::tests());
    suite
        .tests(unnamed::tests())
        .tests(run::tests())
        .tests(usage::tests())
        .tests(terminal::tests())
        .tests(protocols::tests())
        .tests(processes::tests())
        .main()
}
