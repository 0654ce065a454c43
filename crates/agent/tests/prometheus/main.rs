//! Real Prometheus programs read the page.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod dashboard;
mod kubelet;
mod monitor;
mod page;
mod queries;
mod server;

use std::io::Write as _;
use std::process::{Command, Stdio};

use netns_agent::export::prometheus::Format;

use netns_agent::metrics::points::PageNames;

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
    let page = Node::new(PageNames::Both).page(Format::Text);
    promtool.stdin.take().expect("its input").write_all(page.as_bytes()).expect("takes the page");
    let output = promtool.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}

/// The parser of Prometheus' own Python client refuses what Prometheus tolerates.
#[test]
fn strict_parser_accepts_openmetrics() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    for names in [PageNames::Native, PageNames::Kubelet, PageNames::Both] {
        let page = Node::new(names).page(Format::OpenMetrics);
        let mut python = Command::new("python")
            .args(["-c", PARSE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python runs: tests/tools.sh installs it");
        python.stdin.take().expect("its input").write_all(page.as_bytes()).expect("takes the page");
        let output = python.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}\n{page}", String::from_utf8_lossy(&output.stderr));
        let lines = page.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), lines.to_string(), "{page}");
    }
}
