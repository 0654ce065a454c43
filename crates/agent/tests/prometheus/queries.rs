//! The queries of the documents.

use std::time::Duration;

use netns_agent::metrics::points::PageNames;

use crate::server::Prometheus;

/// The PromQL blocks of a page.
pub(crate) fn queries(page: &str) -> Vec<String> {
    let path = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the page");
    let mut queries: Vec<_> = text.split("```promql\n").skip(1).collect();
    queries.iter_mut().for_each(|rest| *rest = rest.split("```").next().unwrap_or_default());
    // The test cannot wait for minutes.
    let short = |query: &str| {
        ["5m", "1h", "1d"].iter().fold(query.to_owned(), |query, range| query.replace(&format!("[{range}]"), "[10s]"))
    };
    queries.into_iter().map(short).collect()
}

/// Each query has an answer, but for queries about another exporter.
#[tokio::test]
async fn documented_queries_have_answers() {
    let prometheus = Prometheus::start_with(PageNames::Both, "").await;
    let queries: Vec<_> = ["queries.md", "metrics.md"].into_iter().flat_map(queries).collect();
    assert!(queries.len() > 20, "{}", queries.len());
    let mut unanswered = Vec::new();
    for query in &queries {
        if ["kube_", "flow_"].iter().any(|other| query.contains(other)) {
            prometheus.parses(query).await.unwrap_or_else(|error| panic!("{query}\n{error}"));
        } else if let Err(reason) = prometheus.answer(query, Duration::from_secs(40)).await {
            unanswered.push(reason);
        }
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
}

/// A query with a fault is refused, so the other test shows something.
#[tokio::test]
async fn faulty_query_is_refused() {
    let prometheus = Prometheus::start().await;
    assert!(prometheus.parses("sum by (k8s_pod_name) (rate(k8s_pod_network_io_bytes_total))").await.is_err());
    assert!(prometheus.parses("sum(rate(k8s_pod_network_io_bytes_total[5m])").await.is_err());
}
