//! Real Prometheus programs read the page.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod dashboard;
mod page;
mod server;

use std::io::Write as _;
use std::process::{Command, Stdio};

use netns_agent::export::prometheus::Format;

use crate::page::Node;

#[test]
fn promtool_accepts_the_page() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: tests/tools.sh installs it");
    let page = Node::new().page(Format::Text);
    promtool.stdin.take().expect("its input").write_all(page.as_bytes()).expect("takes the page");
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}
