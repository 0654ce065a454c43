use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::IfName;
use crate::lookup::registerer::AskKernel;

/// Number of remembered replies.
const PLACES: usize = 256;
/// Lifetime of a remembered reply.
const REMEMBER: Duration = Duration::from_secs(1);
/// The shortest mean time between two requests; a request costs some 70 µs.
const INTERVAL: Duration = Duration::from_millis(10);
/// Number of requests in a burst after a quiet time.
const BURST: u32 = 100;

/// Replies of the kernel about unknown ifindexes, remembered for a while.
///
/// An ifindex may come from a packet, so a sender of packets can cause lookups of any ifindex: memory
/// is fixed, and so is the number of requests per second.
pub(crate) struct KernelNames {
    ask: AskKernel,
    answers: Box<[ArcSwapOption<Remembered>]>,
    budget: Budget,
}

struct Remembered {
    ifindex: u32,
    name: Option<IfName>,
    until: Instant,
}

impl KernelNames {
    pub(crate) fn new(ask: AskKernel) -> Self {
        let answers = (0..PLACES).map(|_| ArcSwapOption::empty()).collect();
        Self { ask, answers, budget: Budget { start: Instant::now(), spent_until: AtomicU64::new(0) } }
    }

    pub(crate) fn name(&self, ifindex: u32) -> Option<IfName> {
        self.name_at(ifindex, Instant::now())
    }

    fn name_at(&self, ifindex: u32, now: Instant) -> Option<IfName> {
        let place = &self.answers[ifindex as usize % PLACES];
        let before = place.load();
        if let Some(known) = before.as_deref().filter(|known| known.ifindex == ifindex && now < known.until) {
            return known.name;
        }
        if ifindex == 0 || !self.budget.spend(now) {
            return None;
        }
        let remembered = |name| Some(Arc::new(Remembered { ifindex, name, until: now + REMEMBER }));
        // A miss remembered first keeps other threads from the same request.
        let claimed = place.compare_and_swap(&before, remembered(None));
        let ours = match (&*claimed, &*before) {
            (Some(claimed), Some(before)) => Arc::ptr_eq(claimed, before),
            (claimed, before) => claimed.is_none() && before.is_none(),
        };
        if !ours {
            return None;
        }
        let name = (self.ask)(ifindex);
        place.store(remembered(name));
        name
    }
}

impl fmt::Debug for KernelNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelNames").finish_non_exhaustive()
    }
}

/// Requests left: a token bucket.
struct Budget {
    start: Instant,
    /// Time, in nanoseconds from the start, until which past requests use up the rate.
    spent_until: AtomicU64,
}

impl Budget {
    fn spend(&self, now: Instant) -> bool {
        let now = now.duration_since(self.start).as_nanos() as u64;
        let interval = INTERVAL.as_nanos() as u64;
        let limit = now + interval * u64::from(BURST);
        let spend = |until: u64| Some(until.max(now) + interval).filter(|until| *until <= limit);
        self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counted(known: u32) -> (KernelNames, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let ask = move |ifindex| {
            count.fetch_add(1, Ordering::Relaxed);
            (ifindex == known).then(|| IfName::new("eth7").unwrap())
        };
        (KernelNames::new(Box::new(ask)), asked)
    }

    #[test]
    fn index_is_requested_once_per_lifetime() {
        let (names, asked) = counted(7);
        let start = Instant::now();
        for (ifindex, name) in [(7, IfName::new("eth7")), (8, None)] {
            for _ in 0..1000 {
                assert_eq!(names.name_at(ifindex, start), name);
            }
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(names.name_at(8, start + REMEMBER), None);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn flood_of_indexes_is_limited() {
        let (names, asked) = counted(7);
        let start = Instant::now();
        for ifindex in 0..1_000_000 {
            names.name_at(ifindex, start);
        }
        assert_eq!(asked.load(Ordering::Relaxed), BURST as usize);
        for second in 1..=10 {
            for ifindex in 0..1_000 {
                names.name_at(second * 1_000 + ifindex, start + Duration::from_secs(u64::from(second)));
            }
        }
        assert_eq!(asked.load(Ordering::Relaxed), 11 * BURST as usize);
    }

    #[test]
    fn zero_is_no_number_to_ask_for() {
        let (names, asked) = counted(0);
        assert_eq!(names.name(0), None);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn concurrent_requests_are_merged() {
        let (names, asked) = counted(7);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| names.name(7));
            }
        });
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
