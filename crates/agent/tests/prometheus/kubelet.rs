//! Queries written for the kubelet's network metrics, on the agent's page.

use std::time::Duration;

use netns_agent::metrics::points::PageNames;

use crate::server::Prometheus;

const LIMIT: Duration = Duration::from_secs(40);

/// The block of docs/kubelet-metrics.md that begins with `start`.
fn block(start: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kubelet-metrics.md");
    let page = std::fs::read_to_string(path).expect("the page");
    // Blocks of a numbered list are indented by three spaces.
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let mut blocks = blocks.map(|(_, block)| block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)));
    let found = blocks.find_map(|block| {
        let block = block.collect::<Vec<_>>().join("\n");
        block.starts_with(start).then_some(block)
    });
    found.unwrap_or_else(|| panic!("docs/kubelet-metrics.md has no block that starts with {start}"))
}

/// Expressions as in the network panels of kubernetes-mixin, with the variables filled in.
#[tokio::test]
async fn kubelet_queries_have_answers() {
    let prometheus = Prometheus::start_with(PageNames::Both, &block("metric_relabel_configs:")).await;
    let selected = r#"job="kubelet",metrics_path="/metrics/cadvisor",namespace=~".+""#;
    for name in ["bytes", "packets", "packets_dropped", "errors"] {
        for direction in ["receive", "transmit"] {
            let counter = format!("container_network_{direction}_{name}_total");
            let rate = format!("sum(irate({counter}{{{selected}}}[10s])) by (namespace, pod)");
            let result = prometheus.answer(&rate, LIMIT).await.unwrap();
            let pods: Vec<_> = result.iter().map(|series| series["metric"]["pod"].as_str()).collect();
            assert!(pods.contains(&Some("web")) && pods.contains(&Some("db")), "{rate}: {result:?}");
        }
    }
    // The agent's own series keep their job.
    prometheus.answer("k8s_pod_network_io_bytes_total{job=\"netns-agent\"}", LIMIT).await.unwrap();
    let both = "container_network_receive_bytes_total == on(pod, interface) group_left label_replace(label_replace(\
                k8s_pod_network_io_bytes_total{network_io_direction=\"receive\"}, \"pod\", \"$1\", \"k8s_pod_name\", \"(.*)\"), \
                \"interface\", \"$1\", \"network_interface_name\", \"(.*)\")";
    prometheus.answer(both, LIMIT).await.expect("one value under both names");
}
