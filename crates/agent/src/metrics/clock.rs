//! Notices when the wall clock is set back.

use std::time::{Duration, Instant, SystemTime};

/// Compares the wall clock with the monotonic clock from one reading of the counters to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    last: Option<(SystemTime, Instant)>,
}

impl Clock {
    /// Takes the present times of both clocks. Returns how far the wall clock was set back, where it shows a time
    /// before the last one; a clock set back by less is harmless, because times of points still grow.
    pub fn set_back(&mut self, wall: SystemTime, monotonic: Instant) -> Option<Duration> {
        let (last_wall, last_monotonic) = self.last.replace((wall, monotonic))?;
        let behind = last_wall.duration_since(wall).ok().filter(|behind| !behind.is_zero())?;
        Some(behind + monotonic.saturating_duration_since(last_monotonic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn only_past_times_count() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::default();
        assert_eq!(clock.set_back(at(1000), start), None);
        assert_eq!(clock.set_back(at(1010), later(10)), None);
        assert_eq!(clock.set_back(at(1015), later(20)), None, "5 s back within 10 s");
        assert_eq!(clock.set_back(at(915), later(30)), Some(Duration::from_secs(110)));
        assert_eq!(clock.set_back(at(925), later(40)), None);
    }
}
