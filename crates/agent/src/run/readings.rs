//! Counters for `/v1/counters`, read once for all clients that ask at the same time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use netns_scan::{Handle, Reading};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admin::Readings;

/// Time between two readings: more clients cause no more work.
const PAUSE: Duration = Duration::from_secs(1);

type Counters = Pin<Box<dyn Future<Output = Result<Vec<Reading>, String>> + Send>>;

/// The last reading of all counters.
pub(super) struct LastReadings {
    read: Box<dyn Fn() -> Counters + Send + Sync>,
    last: Mutex<Option<(Instant, Arc<Readings>)>>,
}

impl fmt::Debug for LastReadings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastReadings").field("last", &self.last).finish_non_exhaustive()
    }
}

impl LastReadings {
    /// Reads through this handle.
    pub(super) fn new(handle: Handle) -> Self {
        Self::read_by(move || {
            let counters = handle.counters(Vec::new());
            Box::pin(async { counters.await.map_err(|error| error.to_string()) })
        })
    }

    fn read_by(read: impl Fn() -> Counters + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read), last: Mutex::default() }
    }

    /// The last reading, or a new one where the last is older than [`PAUSE`].
    ///
    /// Cancellation discards a reading.
    pub(super) async fn get(&self) -> Result<Arc<Readings>, String> {
        let mut last = self.last.lock().await;
        if let Some((made, readings)) = &*last
            && made.elapsed() < PAUSE
        {
            return Ok(readings.clone());
        }
        let made = Instant::now();
        let readings = (self.read)().await?;
        let readings = Arc::new(Readings { time: SystemTime::now(), readings });
        *last = Some((made, readings.clone()));
        Ok(readings)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::testing::reading;

    #[tokio::test(start_paused = true)]
    async fn counters_are_read_once_a_second() {
        let count = AtomicU64::new(0);
        let last = LastReadings::read_by(move || {
            let reading = reading(1, count.fetch_add(1, Ordering::Relaxed));
            Box::pin(async move { Ok(vec![reading]) })
        });
        let bytes = async || last.get().await.unwrap().readings.first().unwrap().counters.receive.bytes;
        let (one, other) = tokio::join!(bytes(), bytes());
        assert_eq!((one, other), (0, 0));
        tokio::time::advance(PAUSE).await;
        assert_eq!(bytes().await, 1);
    }

    #[tokio::test]
    async fn failed_readings_are_tried_again() {
        let last = LastReadings::read_by(|| Box::pin(async { Err("the watcher has ended".to_owned()) }));
        for _ in 0..2 {
            assert_eq!(last.get().await.unwrap_err(), "the watcher has ended");
        }
    }
}
