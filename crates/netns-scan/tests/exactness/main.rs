//! Watcher and Poller are exact, whatever the node does: on real namespaces, over every engine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod account;
mod backpressure;
mod capture;
mod churn;
mod details;
mod directory;
mod faults;
mod identity;
mod lifetime;
mod links;
mod model;
mod pods;
mod processes;
mod subject;
mod unnamed;

use std::process::ExitCode;

use netns_testbed::Suite;

fn main() -> ExitCode {
    Suite::new()
        .tests(links::tests())
        .tests(account::tests())
        .tests(details::tests())
        .tests(identity::tests())
        .tests(directory::tests())
        .tests(churn::tests())
        .tests(unnamed::tests())
        .tests(processes::tests())
        .tests(lifetime::tests())
        .tests(backpressure::tests())
        .tests(faults::tests())
        .tests(capture::tests())
        .tests(model::tests())
        .main()
}
