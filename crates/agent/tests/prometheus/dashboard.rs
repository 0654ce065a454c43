//! Every query of the Grafana dashboards has an answer.

use std::time::Duration;

use serde_json::Value;

use crate::server::Prometheus;

const LIMIT: Duration = Duration::from_secs(40);

const DASHBOARDS: [&str; 4] = ["overview", "node", "pod", "agent"];

fn dashboard(name: &str) -> Value {
    let path = format!("{}/../../deploy/grafana/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("the dashboard")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}

/// Variables filled in, as with "All".
fn filled_in(expression: &str) -> String {
    let variables = ["cluster", "namespace", "workload", "network", "node", "pod", "interface"];
    let expression = expression.replace("$__rate_interval", "10s");
    let filled = variables.iter().fold(expression, |text, name| text.replace(&format!("${name}\""), ".*\""));
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Titles of panels with their queries, and variables with the series that have their label.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                let title = format!("{name}: {}", text(&panel["title"]));
                queries.push((title, filled_in(&text(&target["expr"]))));
            }
        }
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query") {
            let query = filled_in(&text(&variable["query"]["query"]));
            let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).expect("values");
            let (series, label) = inside.rsplit_once(", ").expect("a label");
            queries.push((format!("{name}: ${}", text(&variable["name"])), format!("count by ({label}) ({series})")));
        }
    }
    queries
}

/// Panels explain themselves, and links lead to dashboards that exist.
#[test]
fn panels_have_descriptions_and_links() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert_eq!(text(&dashboard["uid"]), format!("netns-agent-{name}"));
        for panel in list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row") {
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{panel}");
        }
        let text = dashboard.to_string();
        for link in text.split("/d/netns-agent-").skip(1) {
            let to = link.split('?').next().unwrap_or_default();
            assert!(DASHBOARDS.contains(&to), "{to}");
        }
    }
}

#[test]
fn dashboards_match_their_generator() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/grafana/dashboards.py");
    let output = std::process::Command::new("python").args([script, "--check"]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn prometheus_answers_all_dashboard_queries() {
    let prometheus = Prometheus::start().await;
    let growth =
        "increase(k8s_pod_network_io_bytes_total{k8s_pod_name=\"web\",network_io_direction=\"receive\"}[10s]) > 0";
    prometheus.answer(growth, LIMIT).await.unwrap();
    let odd =
        r#"k8s_pod_network_interface_up{k8s_pod_name="quote\" back\\slash\nline",network_interface_name="bad\\xff"}"#;
    prometheus.answer(odd, LIMIT).await.expect("odd names arrive whole");
    let queries = queries();
    assert!(queries.len() > 60, "{}", queries.len());
    let mut unanswered = Vec::new();
    for (title, query) in queries {
        if let Err(reason) = prometheus.answer(&query, LIMIT).await {
            unanswered.push(format!("{title}: {reason}"));
        }
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
}

/// The joins that docs/metrics.md names find exactly one info series for each series.
#[tokio::test]
async fn info_series_join_one_to_one() {
    let prometheus = Prometheus::start().await;
    let pod = "k8s_namespace_name, k8s_pod_name, k8s_pod_uid";
    let joins = [
        ("k8s_pod_network_io_bytes_total", pod, "k8s_workload_name", "k8s_pod_info", "front"),
        ("k8s_pod_network_io_bytes_total", pod, "k8s_pod_label_team", "k8s_pod_info", "shop"),
        (
            "k8s_pod_network_io_bytes_total",
            &format!("{pod}, network_interface_name"),
            "cni_network_name",
            "k8s_pod_network_interface_info",
            "cbr0",
        ),
        (
            "k8s_node_network_io_bytes_total",
            "k8s_node_name, network_interface_name",
            "network_interface_mac",
            "k8s_node_network_interface_info",
            "0A-58-0A-F4-00-05",
        ),
        (
            "system_network_io_bytes_total",
            "k8s_node_name, netns_name, network_interface_name",
            "network_interface_mac",
            "system_network_interface_info",
            "0A-58-0A-F4-00-05",
        ),
    ];
    for (series, on, label, info, value) in joins {
        let query = format!("sum by ({label}) ({series} * on({on}) group_left({label}) {info})");
        let result = prometheus.answer(&query, LIMIT).await.unwrap();
        assert!(result.iter().any(|group| group["metric"][label] == value), "{query}: {result:?}");
    }
    let count = "count(k8s_pod_network_io_bytes_total{network_io_direction=\"receive\"})";
    let joined = format!("{count} == count(k8s_pod_network_interface_info)");
    prometheus.answer(&joined, LIMIT).await.expect("an info series for each interface");
    prometheus
        .answer("count({k8s_node_name=\"node-1\"}) == count({job=\"netns-agent\", __name__!~\"up|scrape_.*\"})", LIMIT)
        .await
        .expect("the node on every series");
}

#[tokio::test]
async fn network_names_join_with_cadvisor() {
    let prometheus = Prometheus::start().await;
    // Labels as in cAdvisor: namespace, pod, interface.
    let cadvisor = "label_replace(label_replace(label_replace(k8s_pod_network_io_bytes_total{network_io_direction=\"receive\"}, \
         \"pod\", \"$1\", \"k8s_pod_name\", \"(.*)\"), \"namespace\", \"$1\", \"k8s_namespace_name\", \"(.*)\"), \
         \"interface\", \"$1\", \"network_interface_name\", \"(.*)\")";
    let joined = format!("{cadvisor} + on(namespace,pod,interface) group_left(network_name) pod_network_name_info");
    let result = prometheus.answer(&joined, LIMIT).await.unwrap();
    assert!(result.iter().all(|series| series["metric"]["network_name"] == "cbr0"), "{result:?}");
}
