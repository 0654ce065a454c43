//! Traffic by workload, label, network and node, through the relabelling of the chart's PodMonitor.

use std::time::Duration;

use netns_agent::metrics::points::PageNames;

use crate::queries::queries;
use crate::server::Prometheus;

const LIMIT: Duration = Duration::from_secs(40);

/// The labels that discovery and the operator give a target, then the relabelling of the chart's PodMonitor.
fn relabelling() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/netns-agent/values.yaml");
    let values = std::fs::read_to_string(path).expect("the values");
    let monitor = values.split("\npodMonitor:\n").nth(1).expect("the PodMonitor");
    let rules = monitor.split("\n  relabelings:\n").nth(1).expect("the relabelling");
    let rules = rules.lines().take_while(|line| line.starts_with("    - "));
    let target = [
        ("__meta_kubernetes_pod_node_name", "worker-1"),
        ("namespace", "monitoring"),
        ("pod", "netns-agent-x7k2p"),
        ("container", "netns-agent"),
        ("endpoint", "metrics"),
    ];
    let target = target.map(|(label, value)| format!("- {{target_label: {label}, replacement: {value}}}"));
    let rules = rules.map(|rule| {
        let rule = rule.trim_start().replace("sourceLabels", "source_labels");
        rule.replace("targetLabel", "target_label")
    });
    let rules: Vec<_> = target.into_iter().chain(rules).collect();
    assert!(rules.len() > 6, "{rules:?}");
    format!("honor_labels: true\nrelabel_configs:\n{}", rules.join("\n"))
}

/// The query of the cookbook with these words.
fn cookbook(words: &str) -> String {
    let mut found = queries("queries.md").into_iter().filter(|query| query.contains(words));
    found.next().expect("the query").trim().to_owned()
}

/// Each query gives the traffic of single interfaces, summed in another way.
#[tokio::test]
async fn cookbook_is_right_through_the_monitor() {
    let prometheus = Prometheus::start_with(PageNames::Native, &relabelling()).await;
    let of = |labels: &str| format!("rate(k8s_pod_network_io_bytes_total{{{labels}}}[10s])");
    let named =
        |sum: &str, label: &str, value: &str| format!("label_replace({sum}, \"{label}\", \"{value}\", \"\", \"\")");
    let both = "network_io_direction";
    let web = of("k8s_pod_name=\"web\"");
    let each = format!("sum by ({both}) ({web})");
    let all = format!("sum by ({both}) ({})", of(""));
    let out = format!("sum({})", of("network_io_direction=\"transmit\""));
    for (words, labels, right, groups) in [
        ("k8s_workload_name", "k8s_workload_name", named(&format!("sum({web})"), "k8s_workload_name", "front"), 1),
        (
            "k8s_pod_label_team",
            "k8s_pod_label_team, network_io_direction",
            named(&each, "k8s_pod_label_team", "shop"),
            2,
        ),
        ("cni_network_name", "cni_network_name, network_io_direction", named(&all, "cni_network_name", "cbr0"), 2),
        ("sum by (k8s_node_name) (rate(k8s_pod", "k8s_node_name", named(&out, "k8s_node_name", "node-1"), 1),
    ] {
        let query = cookbook(words);
        let same =
            format!("(abs(({right}) - on({labels}) ({query})) <= 1e-9 * ({right})) and on({labels}) (({right}) > 0)");
        let answer = prometheus.answer(&same, LIMIT).await.unwrap_or_else(|error| panic!("{query}\n{error}"));
        assert_eq!(answer.len(), groups, "{query}: {answer:?}");
    }
}

/// A new pod of the agent renames no series: its labels are dropped, and the node's name stays.
#[tokio::test]
async fn monitor_drops_labels_of_the_agent() {
    let prometheus = Prometheus::start_with(PageNames::Native, &relabelling()).await;
    let series = prometheus.answer("k8s_pod_network_io_bytes_total", LIMIT).await.unwrap();
    for series in series {
        let labels = &series["metric"];
        assert_eq!((&labels["node"], &labels["instance"]), (&"worker-1".into(), &"worker-1".into()), "{labels}");
        for dropped in ["namespace", "pod", "container", "endpoint", "exported_pod"] {
            assert!(labels[dropped].is_null(), "{labels}");
        }
    }
}
