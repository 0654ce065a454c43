//! Hands deleted interfaces to every reader of series, and counts the traffic that `--min-interface-age` keeps from them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use iface_core::{Counters, FinalCounters};
use tokio::sync::mpsc;

use super::collector::Ended;
use crate::interface::Interface;
use crate::metrics::own::OwnMetrics;

/// Deleted interfaces, for the readers of series.
pub(super) struct Endings {
    readers: Vec<mpsc::Sender<Ended>>,
    min_age: Duration,
}

impl Endings {
    pub(super) fn new(readers: impl IntoIterator<Item = mpsc::Sender<Ended>>, min_age: Duration) -> Self {
        Self { readers: readers.into_iter().collect(), min_age }
    }

    /// Takes a deleted interface. An interface made since `synced` was made while the agent ran.
    pub(super) fn push(
        &self,
        interface: &Arc<Interface>,
        counters: &Arc<FinalCounters>,
        synced: Option<SystemTime>,
        own: &OwnMetrics,
    ) {
        let is_new = synced.is_some_and(|synced| interface.since >= synced);
        if is_new && let Some(carried) = kept_back(self.min_age, interface.since, counters) {
            own.kept_back(carried);
        }
        for reader in &self.readers {
            if reader.try_send((interface.clone(), counters.clone())).is_err() {
                own.ended_dropped(1);
            }
        }
    }
}

/// The traffic of an interface that is too young to be reported, if any.
fn kept_back(min_age: Duration, since: SystemTime, counters: &FinalCounters) -> Option<Counters> {
    let lived = counters.ended.duration_since(since).unwrap_or_default();
    (lived < min_age).then(|| counters.carried())
}

#[cfg(test)]
mod tests {
    use iface_core::Direction;

    use super::*;
    use crate::testing::at;

    /// Only the traffic in the namespace counts, and only of an interface that never was reported.
    #[test]
    fn young_interfaces_are_kept_back() {
        let base = Counters::new(Direction::new(1_000, 10), Direction::default());
        let last = Counters::new(Direction::new(1_070, 11), Direction::new(5, 1));
        let counters = FinalCounters::new(last, at(12)).with_base(base);
        let of = |seconds| kept_back(Duration::from_secs(seconds), at(10), &counters);
        let carried = of(3).unwrap();
        assert_eq!((carried.receive.bytes, carried.transmit.bytes), (70, 5));
        assert_eq!((of(2), of(0)), (None, None));
    }
}
