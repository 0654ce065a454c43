//! Runs the program; every wait has a limit.

use std::path::Path;
use std::process::{Command, Output};

pub(crate) use netns_testbed::{Listen, Running, get};
use serde_json::Value;

/// The program with these arguments and no variables of the tests' own environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netns-agent"));
    command.args(arguments).env_clear().env("RUST_BACKTRACE", "0");
    command
}

/// Runs it to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program starts")
}

/// Standard output of a successful run.
pub(crate) fn stdout(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `list -o json`, with the CNI results of a scene.
pub(crate) fn listed(cni: &Path, more: &[&str]) -> Vec<Value> {
    let cni = cni.display().to_string();
    let arguments = [&["list", "-o", "json", "--cni-cache-dir", &cni], more].concat();
    serde_json::from_str(&stdout(&arguments)).unwrap()
}
