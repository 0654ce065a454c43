//! Bearer tokens of scrapers, decided by the API server: TokenReview for the user, SubjectAccessReview for the right
//! to get /metrics.

mod answers;
mod reviews;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::answers::Answers;
use self::answers::Decision;
pub use self::reviews::Reviews;
use super::fault;

/// Time limit of the two reviews of a token: less than the usual limit of a scrape, so that the scraper gets the reason.
const REVIEW_TIME: Duration = Duration::from_secs(5);
/// Tokens under review at a time: a flood of wrong tokens must not become a flood of requests to the API server.
const REVIEWS: usize = 4;
/// Longest token; those of service accounts have about 1 KiB.
const TOKEN_BYTES: usize = 8 * 1024;

/// Lets requests pass whose token may get /metrics.
pub struct Gate {
    reviews: Reviews,
    answers: Mutex<Answers>,
    places: Semaphore,
    is_failing: AtomicBool,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate without known tokens.
    #[must_use]
    pub fn new(reviews: Reviews) -> Self {
        Self { reviews, answers: Mutex::default(), places: Semaphore::new(REVIEWS), is_failing: AtomicBool::new(false) }
    }

    /// The decision about a token: the last answer for a limited time, then a new one.
    ///
    /// # Errors
    /// When the API server does not decide: the reason, for the log.
    async fn decide(&self, token: &str) -> Result<Decision, String> {
        if let Some(decision) = self.known(token) {
            return Ok(decision);
        }
        let decided = timeout(REVIEW_TIME, async {
            let _place = self.places.acquire().await.map_err(|closed| closed.to_string())?;
            // Another request may have brought the same token meanwhile.
            match self.known(token) {
                Some(decision) => Ok(decision),
                None => self.reviews.decide(token).await,
            }
        });
        let decision = decided.await.unwrap_or_else(|_| Err(format!("no answer within {REVIEW_TIME:?}")))?;
        self.answers().remember(token, decision.clone(), Instant::now());
        Ok(decision)
    }

    fn known(&self, token: &str) -> Option<Decision> {
        self.answers().get(token, Instant::now())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the begin and the end of an outage, not each scrape.
    fn log(&self, failure: Option<&str>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => tracing::warn!(
                event.name = "metrics.review_failed",
                error,
                "tokens of scrapers cannot be checked, so scrapes are refused"
            ),
            None if was_failing => {
                tracing::info!(event.name = "metrics.review_works", "tokens of scrapers are checked again");
            }
            _ => {}
        }
    }
}

/// Answers 401 without a valid token, 403 to a user without the right, and 503 where the API server does not decide.
pub(super) async fn check(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return unauthenticated("send the token of a service account: authorization: Bearer TOKEN");
    };
    let decided = gate.decide(token).await;
    gate.log(decided.as_ref().err().map(String::as_str));
    match decided {
        Ok(Decision::Allowed) => next.run(request).await,
        Ok(Decision::Unauthenticated) => unauthenticated("the API server does not accept the token"),
        Ok(Decision::Forbidden { user }) => {
            let remedy = "bind a ClusterRole with nonResourceURLs [/metrics] and verbs [get]";
            fault(StatusCode::FORBIDDEN, &format!("{user} may not get /metrics; {remedy}"))
        }
        // The reason may name parts of the cluster, and the client is nobody yet.
        Err(_) => {
            let error = "the API server does not check the token; the agent's log has the reason";
            fault(StatusCode::SERVICE_UNAVAILABLE, error)
        }
    }
}

fn unauthenticated(error: &str) -> Response {
    let mut response = fault(StatusCode::UNAUTHORIZED, error);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The token of the request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let is_valid = !token.is_empty() && token.len() <= TOKEN_BYTES && token.bytes().all(is_token);
    (scheme.eq_ignore_ascii_case("bearer") && is_valid).then_some(token)
}

#[cfg(test)]
mod tests;
