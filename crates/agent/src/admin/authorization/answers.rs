//! Decisions about tokens, each kept for a limited time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Time for which a token stays allowed without another review: a revoked token gets metrics for no longer.
const ALLOWED: Duration = Duration::from_secs(60);
/// Time for which a token stays refused: a scraper whose right was just granted waits for no longer.
const REFUSED: Duration = Duration::from_secs(10);
/// Tokens kept at most; a node has few scrapers.
const MOST: usize = 64;

/// Whether a token may get metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It may.
    Allowed,
    /// The token is not valid.
    Unauthenticated,
    /// The token is valid, and its user lacks the right.
    Forbidden {
        /// Name of the user.
        user: String,
    },
}

/// The last decisions, by token.
#[derive(Default)]
pub(super) struct Answers(HashMap<String, Answer>);

struct Answer {
    decision: Decision,
    end: Instant,
}

impl Answers {
    /// The decision, unless its time is over.
    pub(super) fn get(&self, token: &str, now: Instant) -> Option<Decision> {
        self.0.get(token).filter(|answer| now < answer.end).map(|answer| answer.decision.clone())
    }

    /// Keeps a decision. Beyond the limit, refused tokens go first: wrong tokens displace no scraper.
    pub(super) fn remember(&mut self, token: &str, decision: Decision, now: Instant) {
        self.0.retain(|_, answer| now < answer.end);
        let end = now + if decision == Decision::Allowed { ALLOWED } else { REFUSED };
        self.0.insert(token.to_owned(), Answer { decision, end });
        while self.0.len() > MOST {
            let order = |answer: &Answer| (answer.decision == Decision::Allowed, answer.end);
            let Some(first) = self.0.iter().min_by_key(|(_, answer)| order(answer)) else { return };
            let first = first.0.clone();
            self.0.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn decisions_end() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        answers.remember("good", Decision::Allowed, now);
        answers.remember("bad", Decision::Unauthenticated, now);
        let just_before = |time: Duration| now + time - Duration::from_millis(1);
        assert_eq!(answers.get("good", just_before(ALLOWED)), Some(Decision::Allowed));
        assert_eq!(answers.get("good", now + ALLOWED), None);
        assert_eq!(answers.get("bad", just_before(REFUSED)), Some(Decision::Unauthenticated));
        assert_eq!(answers.get("bad", now + REFUSED), None);
        assert_eq!(answers.get("other", now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_displace_no_scraper() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        answers.remember("good", Decision::Allowed, now);
        for wrong in 0..MOST * 2 {
            answers.remember(&wrong.to_string(), Decision::Unauthenticated, now + Duration::from_millis(wrong as u64));
        }
        assert_eq!(answers.0.len(), MOST);
        assert_eq!(answers.get("good", now), Some(Decision::Allowed));
    }
}
