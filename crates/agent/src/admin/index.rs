//! The page at `/`, for people who open the server in a browser.

macro_rules! page {
    ($($more:literal)*) => {
        concat!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>netns-agent</title></head><body>\n",
            "<h1>netns-agent ",
            env!("CARGO_PKG_VERSION"),
            "</h1>\n<p>Network interfaces of every network namespace of this node.</p>\n<ul>\n",
            "<li><a href=\"/metrics\">/metrics</a>: metrics for Prometheus</li>\n",
            "<li><a href=\"/readyz\">/readyz</a>: ready, or the reason why not</li>\n",
            "<li><a href=\"/livez\">/livez</a>, <a href=\"/healthz\">/healthz</a>: the process works</li>\n",
            $($more,)*
            "</ul></body></html>\n",
        )
    };
}

/// The routes of the metrics server.
pub(super) const METRICS: &str = page!();
