//! The kernel's answers about unknown ifindexes, remembered and limited in rate.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::IfName;
use crate::lookup::registerer::AskKernel;

/// Number of sets of remembered replies; an ifindex belongs to one set.
const SETS: usize = 64;
/// Replies per set, so that a few ifindexes of one set do not evict each other.
const WAYS: usize = 4;
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
    replies: Box<[[ArcSwapOption<Reply>; WAYS]]>,
    budget: Budget,
}

/// The reply to one request, pending at first.
struct Reply {
    ifindex: u32,
    name: OnceLock<Option<IfName>>,
    until: Instant,
}

impl KernelNames {
    pub(crate) fn new(ask: AskKernel) -> Self {
        let replies = (0..SETS).map(|_| array::from_fn(|_| ArcSwapOption::empty())).collect();
        Self { ask, replies, budget: Budget { start: Instant::now(), spent_until: AtomicU64::new(0) } }
    }

    /// Waits for the kernel's reply, also for a request of another thread.
    pub(crate) fn name(&self, ifindex: u32) -> Option<IfName> {
        self.name_at(ifindex, Instant::now())
    }

    fn name_at(&self, ifindex: u32, now: Instant) -> Option<IfName> {
        let set = &self.replies[ifindex as usize % SETS];
        let mut paid = false;
        loop {
            let present: [_; WAYS] = array::from_fn(|way| set[way].load());
            let mut known = present.iter().filter_map(|reply| reply.as_deref());
            if let Some(reply) = known.find(|reply| reply.ifindex == ifindex && now < reply.until) {
                return self.name_of(reply);
            }
            paid = paid || ifindex != 0 && self.budget.spend(now);
            if !paid {
                return None;
            }
            let oldest = (0..WAYS).min_by_key(|way| present[*way].as_ref().map(|reply| reply.until)).unwrap_or(0);
            let reply = Arc::new(Reply { ifindex, name: OnceLock::new(), until: now + REMEMBER });
            // A pending reply keeps other threads from the same request.
            let before = set[oldest].compare_and_swap(&present[oldest], Some(reply.clone()));
            if before.as_ref().map(Arc::as_ptr) == present[oldest].as_ref().map(Arc::as_ptr) {
                return self.name_of(&reply);
            }
            // Another thread was faster, perhaps with the same ifindex.
        }
    }

    /// The first caller sends the request, all others wait.
    fn name_of(&self, reply: &Reply) -> Option<IfName> {
        *reply.name.get_or_init(|| (self.ask)(reply.ifindex))
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
    fn ifindex_zero_is_never_requested() {
        let (names, asked) = counted(0);
        assert_eq!(names.name(0), None);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    /// A thread that comes during another's request gets the same name.
    #[test]
    fn concurrent_requests_are_merged() {
        const THREADS: usize = 50;
        let start = Instant::now();
        let (asked, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, begun) = (asked.clone(), started.clone());
        // The reply comes once every thread wants the name.
        let names = KernelNames::new(Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            while begun.load(Ordering::Relaxed) < THREADS {
                std::thread::yield_now();
            }
            IfName::new("eth7")
        }));
        let want = || {
            started.fetch_add(1, Ordering::Relaxed);
            names.name_at(7, start)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(want)).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), IfName::new("eth7"));
            }
        });
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn indexes_of_one_set_stay() {
        let (names, asked) = counted(7);
        let start = Instant::now();
        for _ in 0..1000 {
            for way in 0..WAYS as u32 {
                names.name_at(7 + way * SETS as u32, start);
            }
        }
        assert_eq!(asked.load(Ordering::Relaxed), WAYS);
    }
}
