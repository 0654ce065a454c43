//! Follows all objects of one kind: list, watch, and both again after failures.
//!
//! List and watch as in every Kubernetes since 1.20: pages, or a streamed list where the API server has it,
//! bookmarks, relist on 410 Gone, backoff with jitter, also after a watch that ends early without an error.

use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use kube::Client;
use kube::runtime::watcher::{self, DefaultBackoff};
use tokio::time::Instant;

use crate::owner::kube::initial_list::{InitialList, refuses_to_stream};

/// Objects of the API server, as kube follows them.
pub(super) type Objects<K> = BoxStream<'static, watcher::Result<watcher::Event<K>>>;

/// A change of objects, each kept as a trimmed record.
pub(super) enum Change<K, T> {
    /// The object is new or has changed.
    Applied(T),
    /// The object is deleted.
    Deleted(K),
    /// The complete list.
    Listed(Vec<T>),
}

/// A failed request, which will be sent again.
pub(super) enum Failure {
    /// The API server, or the way to the server, has failed.
    Request(watcher::Error),
    /// The API server was silent for this long.
    Slow(Duration),
}

/// The objects that `begin` and `record` of each call name.
pub(super) struct Follow<K, T> {
    client: Client,
    /// `None` before the first request, and before a new list.
    objects: Option<Objects<K>>,
    /// `None` until the API server has been asked.
    initial_list: Option<InitialList>,
    list_timeout: Duration,
    /// Records listed so far, until the list is complete.
    listing: Option<Vec<T>>,
    backoff: DefaultBackoff,
    not_before: Option<Instant>,
}

impl<K, T> Follow<K, T> {
    pub(super) fn new(client: Client, list_timeout: Duration) -> Self {
        Self {
            client,
            objects: None,
            initial_list: None,
            list_timeout,
            listing: Some(Vec::new()),
            backoff: DefaultBackoff::default(),
            not_before: None,
        }
    }

    /// The next change or failure. `begin` sends the first request, and `record` trims an object.
    pub(super) async fn next(
        &mut self,
        begin: impl Fn(&Client, InitialList) -> Objects<K>,
        record: impl Fn(K) -> Option<T>,
    ) -> Result<Change<K, T>, Failure> {
        loop {
            if let Some(instant) = self.not_before.take() {
                tokio::time::sleep_until(instant).await;
            }
            let initial_list = match self.initial_list {
                Some(known) => known,
                None => *self.initial_list.insert(InitialList::of(&self.client).await),
            };
            let next = self.objects.get_or_insert_with(|| begin(&self.client, initial_list)).next();
            let event = match &self.listing {
                Some(_) => tokio::time::timeout(self.list_timeout, next).await,
                None => Ok(next.await),
            };
            match event {
                Ok(Some(Ok(event))) => {
                    if let Some(change) = self.take(event, &record) {
                        return Ok(change);
                    }
                }
                Ok(Some(Err(error))) if initial_list == InitialList::Streamed && refuses_to_stream(&error) => {
                    self.initial_list = Some(InitialList::Listed);
                    self.list_anew();
                }
                Ok(Some(Err(error))) => {
                    let gone = status_code(&error) == Some(410);
                    self.back_off(gone);
                    // Expired history is not a fault: list again.
                    if !gone {
                        return Err(Failure::Request(error));
                    }
                }
                // The stream of kube never ends; otherwise a new stream follows.
                Ok(None) => self.back_off(true),
                Err(_) => {
                    // A proxy that takes the streamed list for a watch sends nothing.
                    self.initial_list = Some(InitialList::Listed);
                    self.back_off(true);
                    return Err(Failure::Slow(self.list_timeout));
                }
            }
        }
    }

    fn take(&mut self, event: watcher::Event<K>, record: impl Fn(K) -> Option<T>) -> Option<Change<K, T>> {
        match event {
            watcher::Event::Init => self.listing = Some(Vec::new()),
            watcher::Event::InitApply(object) => self.listing.get_or_insert_default().extend(record(object)),
            watcher::Event::InitDone => return Some(Change::Listed(self.listing.take().unwrap_or_default())),
            watcher::Event::Apply(object) => return record(object).map(Change::Applied),
            watcher::Event::Delete(object) => return Some(Change::Deleted(object)),
        }
        None
    }

    /// Lets some time pass before the next request, from a new list if `anew`.
    fn back_off(&mut self, anew: bool) {
        self.not_before = self.backoff.next().map(|delay| Instant::now() + delay);
        if anew {
            self.list_anew();
        }
    }

    fn list_anew(&mut self) {
        self.objects = None;
        self.listing = Some(Vec::new());
    }

    /// Begins with a new list after a pause.
    pub(super) fn list_after(&mut self, pause: Duration) {
        self.not_before = Some(Instant::now() + pause);
        self.list_anew();
    }
}

/// The HTTP status of an answer of the API server.
///
/// kube starts a new list after a 410 in the stream of a watch, but not after a 410 in reply to the request of a watch.
pub(super) fn status_code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}
