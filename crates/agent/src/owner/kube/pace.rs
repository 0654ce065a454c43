//! Keeps the watches of one client apart.
//!
//! kube begins the next watch at once where a watch ends without an error. An API server that ends each watch at once,
//! or a proxy before the server, would get hundreds of requests per second, and the end of an API server would bring
//! all nodes back in the same moment.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower_service::Service;

use crate::random::fraction;

/// A shorter watch ended early.
const EARLY: Duration = Duration::from_secs(5);
/// An API server ends a watch after the 290 s of the request: such ends are spread over time already.
const FULL: Duration = Duration::from_secs(270);
/// After the end of an API server, the watches of all nodes begin anew within this time.
const SPREAD: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The client, with pauses before watches that follow too soon.
pub(super) fn paced(client: &Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Paced { client: client.clone(), pace: Pace::default() }, namespace)
}

/// Decides how long a watch has to wait.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Begin of the last watch, with its pause.
    last: Option<Instant>,
    /// Watches in a row that ended early.
    early: u32,
}

impl Pace {
    /// The pause before a watch that is wanted `now`; `random` in 0..=1.
    fn pause(&mut self, now: Instant, random: f64) -> Duration {
        let pause = match self.last.map(|last| now.saturating_duration_since(last)) {
            Some(lasted) if lasted < EARLY => {
                let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.early)).min(LONGEST_PAUSE);
                self.early = self.early.saturating_add(1);
                doubled.mul_f64(0.5 + random / 2.0)
            }
            Some(lasted) if lasted < FULL => {
                self.early = 0;
                SPREAD.mul_f64(random)
            }
            _ => {
                self.early = 0;
                Duration::ZERO
            }
        };
        self.last = Some(now + pause);
        pause
    }
}

struct Paced {
    client: Client,
    pace: Pace,
}

impl Service<Request<Body>> for Paced {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let now = Instant::now();
        let begin = if is_watch(&request) { now + self.pace.pause(now, fraction()) } else { now };
        let client = self.client.clone();
        Box::pin(async move {
            tokio::time::sleep_until(begin).await;
            client.send(request).await
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter == "watch=true"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::StreamExt as _;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::owner::kube::initial_list::InitialList;
    use crate::owner::kube::watch::pods;

    /// An API server whose watches end at once; counts the watches.
    #[derive(Clone, Default)]
    struct Abrupt(Arc<AtomicU32>);

    impl Service<Request<Body>> for Abrupt {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            const LIST: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
            let watch = is_watch(&request);
            self.0.fetch_add(u32::from(watch), Ordering::Relaxed);
            let body = if watch { Body::empty() } else { Body::from(LIST.as_bytes().to_vec()) };
            std::future::ready(Ok(Response::new(body)))
        }
    }

    /// A minute of watches that end at once takes few requests; hundreds per second without pauses.
    #[tokio::test(start_paused = true)]
    async fn abrupt_watches_are_few() {
        let server = Abrupt::default();
        let mut pods = pods(&paced(&Client::new(server.clone(), "default")), "node-1", InitialList::Listed);
        while !matches!(pods.next().await, Some(Ok(Event::InitDone))) {}
        let minute = tokio::time::timeout(Duration::from_secs(60), pods.next()).await;
        assert!(minute.is_err(), "{minute:?}");
        let watches = server.0.load(Ordering::Relaxed);
        assert!((4..=8).contains(&watches), "{watches}");
    }

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// Pauses of watches that each last so long.
    fn pauses(lasting: &[Duration], random: f64) -> Vec<Duration> {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let first = pace.pause(now, random);
        let rest = lasting.iter().map(|lasting| {
            now += *lasting;
            let pause = pace.pause(now, random);
            now += pause;
            pause
        });
        [first].into_iter().chain(rest).collect()
    }

    #[test]
    fn early_ends_double_the_pause() {
        let latest = [0, 1, 2, 4, 8, 16, 30, 30].map(seconds);
        assert_eq!(pauses(&[Duration::ZERO; 7], 1.0), latest);
        assert_eq!(pauses(&[seconds(4); 7], 0.0), latest.map(|pause| pause / 2));
    }

    #[test]
    fn long_watch_forgets_early_ends() {
        let lasting = [0, 0, 5, 0, 290, 0].map(seconds);
        assert_eq!(pauses(&lasting, 1.0), [0, 1, 2, 2, 1, 0, 1].map(seconds));
    }

    /// The nodes whose watches end together ask again at different times.
    #[test]
    fn common_end_is_spread() {
        let again = |random| pauses(&[seconds(60)], random)[1];
        assert_eq!([0.0, 0.5, 1.0].map(again), [seconds(0), seconds(1), seconds(2)]);
    }
}
