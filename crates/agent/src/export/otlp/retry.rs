//! Classifies failed requests and decides about retries: pure.
//!
//! Sources: "OpenTelemetry Protocol Specification", sections "Failures" of OTLP/gRPC and OTLP/HTTP.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use jiff::fmt::rfc2822;
use tonic::Code;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest pause granted to a receiver: no operator wants a day without data.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Reason of a failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or the connection was cut. Can be retried.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time. Can be retried.
    #[error("did not answer within {0:?}")]
    Timeout(Duration),
    /// The receiver asks for a retry, perhaps after a pause.
    #[error("is busy: {reason}")]
    Busy {
        /// Reason given by the receiver.
        reason: String,
        /// Shortest pause before the retry.
        after: Option<Duration>,
    },
    /// The receiver refuses the request for good.
    #[error("refused it: {0}")]
    Refused(String),
}

impl Failure {
    /// The value of `error.type`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Busy { .. } => "throttled",
            Self::Refused(_) => "refused",
        }
    }

    /// Classifies a gRPC status; `after` is its RetryInfo.
    ///
    /// RESOURCE_EXHAUSTED may be tried again only when the receiver says when.
    #[must_use]
    pub fn from_grpc(code: Code, message: &str, after: Option<Duration>) -> Self {
        let reason = format!("{code:?}: {message}");
        let after = after.map(|after| after.min(LONGEST_PAUSE));
        match code {
            Code::ResourceExhausted if after.is_none() => Self::Refused(reason),
            Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::DataLoss
            | Code::ResourceExhausted => Self::Busy { reason, after },
            _ => Self::Refused(reason),
        }
    }

    /// Classifies an HTTP status other than success; `retry_after` is the value of the header `Retry-After`.
    #[must_use]
    pub fn from_http(status: StatusCode, retry_after: Option<&str>, now: SystemTime) -> Self {
        let reason = format!("HTTP {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                Self::Busy { reason, after: retry_after.and_then(|text| pause(text.trim(), now)) }
            }
            _ => Self::Refused(reason),
        }
    }

    /// Adds an explanation to the reason.
    #[must_use]
    pub fn explain(mut self, explanation: &str) -> Self {
        if let Self::Busy { reason, .. } | Self::Refused(reason) = &mut self
            && !explanation.is_empty()
        {
            *reason = format!("{reason}: {explanation}");
        }
        self
    }

    /// Time to wait before the next try; `None` for no further try.
    ///
    /// `tries` counts failed tries, `left` is the time until the deadline, `random` in 0..1 spreads
    /// the tries of many agents with the same receiver.
    #[must_use]
    pub fn wait(&self, tries: u32, left: Duration, random: f64) -> Option<Duration> {
        let asked = match self {
            Self::Refused(_) => return None,
            Self::Busy { after, .. } => after.unwrap_or_default(),
            Self::Unreachable(_) | Self::Timeout(_) => Duration::ZERO,
        };
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(LONGEST_WAIT);
        let wait = doubled.mul_f64(0.5 + random / 2.0).max(asked);
        (wait < left).then_some(wait)
    }
}

/// `Retry-After`: seconds, or a date.
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    const LONG: Duration = Duration::from_secs(1_000);

    fn may_retry(failure: &Failure) -> bool {
        failure.wait(1, LONG, 0.5).is_some()
    }

    #[test]
    fn retried_statuses_follow_the_specification() {
        let grpc = |code| may_retry(&Failure::from_grpc(code, "", None));
        let again = (0..17).map(Code::from).filter(|code| grpc(*code)).collect::<Vec<_>>();
        let expected = [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ];
        assert_eq!(again, expected);
        assert!(may_retry(&Failure::from_grpc(Code::ResourceExhausted, "", Some(Duration::ZERO))));
        let http = |status| may_retry(&Failure::from_http(StatusCode::from_u16(status).unwrap(), None, at(0)));
        assert_eq!((300..600).filter(|status| http(*status)).collect::<Vec<_>>(), [429, 502, 503, 504]);
    }

    #[test]
    fn waits_double_with_jitter() {
        let failure = Failure::Unreachable(String::new());
        let waits = |random| (1..8).map(move |tries| failure.wait(tries, LONG, random).unwrap().as_millis());
        assert_eq!(waits.clone()(1.0).collect::<Vec<_>>(), [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(waits(0.0).take(3).collect::<Vec<_>>(), [500, 1000, 2000]);
    }

    #[test]
    fn receivers_pause_is_lower_bound() {
        let after = |text| Failure::from_http(StatusCode::TOO_MANY_REQUESTS, Some(text), at(784_111_777));
        assert_eq!(after("7").wait(1, LONG, 0.5), Some(Duration::from_secs(7)));
        let date = after("Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(date.wait(1, LONG, 0.5), Some(Duration::from_secs(60)));
        assert_eq!(after("0").wait(3, LONG, 1.0), Some(Duration::from_secs(4)), "never faster than the backoff");
        assert_eq!(after("86400").wait(1, LONG, 0.5), Some(LONGEST_PAUSE));
        assert_eq!(after("soon").wait(1, LONG, 1.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn wait_ends_before_next_export() {
        let busy = Failure::Busy { reason: String::new(), after: Some(Duration::from_secs(20)) };
        assert_eq!(busy.wait(1, Duration::from_secs(15), 0.5), None);
    }
}
