//! Ways to list the pods before they are watched.

use std::time::Duration;

use kube::Client;
use kube::runtime::watcher;

/// First minor version of Kubernetes 1.x that streams lists by default (feature gate WatchList).
const STREAMS_SINCE: u32 = 34;

/// Time limit of the question for the version: without an answer, a list does.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// The way to list the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InitialList {
    /// The watch begins with the pods that exist, one at a time.
    Streamed,
    /// A list, as in every Kubernetes, at any resourceVersion: from the memory of the API server, which has an index of
    /// pods by node. Pages, or the newest version, would be read from etcd among the pods of all nodes. The watch that
    /// follows brings what is newer.
    Listed,
}

impl InitialList {
    /// The best way that the API server offers.
    pub(super) async fn of(client: &Client) -> Self {
        let version = tokio::time::timeout(VERSION_TIMEOUT, client.apiserver_version()).await;
        match version {
            Ok(Ok(version)) if streams(&version.major, &version.minor) => Self::Streamed,
            _ => Self::Listed,
        }
    }

    pub(super) fn apply(self, config: watcher::Config) -> watcher::Config {
        match self {
            Self::Streamed => config.streaming_lists(),
            // kube asks for the newest version where a page is limited.
            Self::Listed => watcher::Config { page_size: None, ..config.any_semantic() },
        }
    }
}

/// Whether a version streams lists. Providers append to the minor version, as in `34+`.
fn streams(major: &str, minor: &str) -> bool {
    let minor = minor.trim_end_matches(|char: char| !char.is_ascii_digit());
    major == "1" && minor.parse::<u32>().is_ok_and(|minor| minor >= STREAMS_SINCE)
}

/// Whether an error refuses to stream: the feature gate can be off, and a proxy can forbid the parameters.
pub(super) fn refuses_to_stream(error: &watcher::Error) -> bool {
    let (watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 404 | 405 | 422))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_since_1_34() {
        let cases = [("1", "34", true), ("1", "36+", true), ("1", "33", false), ("1", "20", false), ("1", "", false)];
        for (major, minor, expected) in cases {
            assert_eq!(streams(major, minor), expected, "{major}.{minor}");
        }
        assert!(!streams("", ""));
    }
}
