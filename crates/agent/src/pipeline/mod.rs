//! From network namespaces to a table of interfaces with their owners, and to filtered events.
//!
//! `Watcher` or `Poller` → [`WithOwners`] → [`Registerer`] → [`Filtered`]: each wraps its predecessor.
//! The table of the `Registerer` holds every interface, so lookups are exact whatever the filter
//! hides. Outputs (`list`, `top`, `watch`, exporters, `/v1/interfaces`) show what the filter allows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::interface::{Event, Filtered, Interface, Lookup, Registerer};
use anyhow::{Context as _, anyhow};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use iface_core::{FilterHandle, Informer, LookupOptions};
use netns_scan::{EngineKind, Fault, Handle, Poller, Watcher, name_for_index};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::{Config, Listen};
use crate::owner::pod::PodEvent;
use crate::owner::{ApiServer, OwnerSources, OwnerStatus, Selection, WithOwners};

/// Time limit of the first dump; 10,000 namespaces need less than a second.
const FIRST_LISTING: Duration = Duration::from_secs(30);
/// Time limit for the API server's first answer, for verbs that print once.
const FIRST_PODS: Duration = Duration::from_secs(3);

/// Events of the interfaces that the configured filter allows, and lookups of all interfaces.
pub struct Pipeline {
    events: Filtered<WithOwners<Box<dyn Informer>>>,
    handle: Handle,
    lookup: Lookup,
    owners: watch::Receiver<OwnerStatus>,
    selection: watch::Sender<Selection>,
    filter: FilterHandle,
    metrics_filter: FilterHandle,
}

impl Pipeline {
    /// Starts the watcher and the sources of owners. Dropping the pipeline stops everything.
    ///
    /// # Errors
    /// When no namespace can be read at all, or a configured kubeconfig cannot be used.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::begin(config, OwnerSources::default()).await
    }

    /// Starts as [`Pipeline::start`], for verbs that print once: a namespace without its pod at the API server is
    /// leaked at once.
    ///
    /// # Errors
    /// As [`Pipeline::start`].
    pub async fn once(config: &Config) -> anyhow::Result<Self> {
        Self::begin(config, OwnerSources::default().leaks_at_once()).await
    }

    async fn begin(config: &Config, owners: OwnerSources) -> anyhow::Result<Self> {
        let (scan, handle) = scan(config)?;
        let (selection, selected) = watch::channel(selection(config));
        let tagged = WithOwners::new(scan, sources(config, owners, selected).await?);
        let owners = tagged.status();
        let mut options = LookupOptions::default();
        options.preferred = config.preferred.clone();
        options.kernel = Some(Box::new(|ifindex| name_for_index(ifindex).ok().flatten()));
        let events = Filtered::new(Registerer::with_options(tagged, options), config.filter.clone());
        let (lookup, filter) = (events.lookup(), events.handle());
        let metrics_filter = FilterHandle::new(config.metrics_filter.clone());
        Ok(Self { events, handle, lookup, owners, selection, filter, metrics_filter })
    }

    /// The next event, already applied to the table.
    ///
    /// Cancellation loses nothing: an event is either returned or still there.
    ///
    /// # Errors
    /// When the watcher has ended after an error without recovery.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        let ended = || anyhow!("the watcher has ended and nothing is followed any more; start the program again");
        self.events.next().await.ok_or_else(ended)
    }

    /// Follows until all interfaces are known, with the pods of the API server if the server answers soon.
    ///
    /// # Errors
    /// When the watcher ends or does not finish its first listing in time.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        timeout(FIRST_LISTING, async {
            while self.next().await? != Event::Synced {}
            anyhow::Ok(())
        })
        .await
        .context("the first listing of all namespaces did not finish in 30 s: the kernel is stuck")??;
        let deadline = Instant::now() + FIRST_PODS;
        let asked = |owners: &OwnerStatus| {
            owners.pod_fault.is_none()
                && (owners.pods_listed == Some(false) || owners.awaits_claims || owners.awaits_processes)
        };
        let mut owners = self.owners.clone();
        while asked(&owners.borrow_and_update()) {
            tokio::select! {
                event = self.next() => drop(event?),
                // The list may be in and change nothing.
                Ok(()) = owners.changed() => {}
                () = sleep_until(deadline) => break,
            }
        }
        Ok(())
    }

    /// Every interface that the filter allows: the host's first, then by namespace, then by ifindex.
    #[must_use]
    pub fn sorted(&self) -> Vec<Arc<Interface>> {
        let mut all = self.filter.select(&self.lookup);
        all.sort_by(|a, b| (&a.netns.place, a.netns.id, a.ifindex).cmp(&(&b.netns.place, b.netns.id, b.ifindex)));
        all
    }

    /// Reads counters and status.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Looks up interfaces, allowed by the filter or not.
    #[must_use]
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// The filter of all outputs.
    #[must_use]
    pub fn filter(&self) -> &FilterHandle {
        &self.filter
    }

    /// The filter of metrics.
    #[must_use]
    pub fn metrics_filter(&self) -> &FilterHandle {
        &self.metrics_filter
    }

    /// Status of the sources of owners.
    #[must_use]
    pub fn owners(&self) -> &watch::Receiver<OwnerStatus> {
        &self.owners
    }

    /// Applies the settings of a new configuration that need no restart.
    pub fn reload(&self, config: &Config) {
        // Another selection lists all pods again.
        let selection = selection(config);
        self.selection.send_if_modified(|current| {
            let differs = *current != selection;
            *current = selection;
            differs
        });
        self.filter.set(config.filter.clone());
        self.metrics_filter.set(config.metrics_filter.clone());
    }

    /// The faults in one line; `None` without faults.
    #[must_use]
    pub fn unseen(&self) -> Option<String> {
        let status = self.handle.status();
        if status.engine == EngineKind::Own {
            return Some(status.reason);
        }
        let hides = |fault: &&Fault| fault.kind.hides_interfaces();
        let first = status.faults.iter().find(hides).or(status.faults.first())?;
        let rest = match status.faults.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("not seen: {}: {}{rest}", first.subject.display(), first.error))
    }

    /// Whether the engine should see interfaces that it does not see.
    #[must_use]
    pub fn hides_interfaces(&self) -> bool {
        let status = self.handle.status();
        status.engine != EngineKind::Own && status.faults.iter().any(|fault| fault.kind.hides_interfaces())
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("handle", &self.handle).finish_non_exhaustive()
    }
}

fn scan(config: &Config) -> anyhow::Result<(Box<dyn Informer>, Handle)> {
    let scan = config.scan.clone();
    match config.listen {
        Listen::Watch => {
            let watcher = Watcher::start(scan).context("cannot follow network namespaces")?;
            let handle = watcher.handle();
            Ok((Box::new(watcher), handle))
        }
        Listen::Poll => {
            let poller = Poller::start(scan, config.poll_period).context("cannot list network namespaces")?;
            let handle = poller.handle();
            Ok((Box::new(poller), handle))
        }
    }
}

/// Reason for reading a directory of CNI results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CacheKind {
    /// The directory is configured.
    Given,
    /// cri-dockerd keeps results there.
    OfDocker,
    /// multus keeps the results of its delegates there.
    OfMultus,
}

/// The configured directories and the directories of other programs beside them, each once.
fn cache_dirs(given: &[PathBuf]) -> BTreeMap<PathBuf, CacheKind> {
    let beside = |name: &'static str, kind| {
        let parents = given.iter().filter_map(|dir| dir.parent());
        parents.map(move |cni| (cni.join(name), kind))
    };
    let others = beside("multus/results", CacheKind::OfMultus).chain(beside("cache/results", CacheKind::OfDocker));
    // The last entry of a directory counts.
    others.chain(given.iter().map(|dir| (dir.clone(), CacheKind::Given))).collect()
}

async fn sources(
    config: &Config,
    owners: OwnerSources,
    selected: watch::Receiver<Selection>,
) -> anyhow::Result<OwnerSources> {
    let mut sources = owners.skip_left_over().select(selected.borrow().clone()).processes(config.scan.proc.clone());
    for (dir, kind) in cache_dirs(&config.cni_cache_dirs) {
        let followed = match kind {
            CacheKind::Given => sources.cni_dir(&dir),
            CacheKind::OfDocker => sources.docker_dir(&dir),
            CacheKind::OfMultus => sources.multus_dir(&dir),
        };
        sources = followed.with_context(|| format!("cannot follow {}", dir.display()))?;
    }
    for dir in &config.container_dirs {
        // Without these records, some namespaces have no owner, and everything else is as good.
        if let Err(error) = sources.container_dir(dir) {
            let dir = dir.display();
            tracing::warn!(
                event.name = "container_records.unfollowed",
                "the records of containers in {dir} cannot be followed ({error}), so their interfaces have no owner; raise \
                 fs.inotify.max_user_instances and the limit on open files, or leave the directory out of --container-dir"
            );
        }
    }
    if !config.container_dirs.is_empty()
        && let Err(error) = sources.user_containers()
    {
        tracing::warn!(
            event.name = "container_records.unfollowed",
            "containers of users' own podman cannot be followed ({error}), so their interfaces have no owner; see the limits \
             on processes (ulimit -u, pids.max)"
        );
    }
    if !config.watch_pods {
        return Ok(sources);
    }
    let api = match ApiServer::connect(config.kubeconfig.as_deref()).await {
        Ok(api) => api,
        // A pod may well have no service account: then the CNI cache alone names owners.
        Err(error) if config.kubeconfig.is_none() => {
            tracing::warn!(event.name = "api.unused", %error, "the API server is not asked for pods");
            None
        }
        Err(error) => return Err(error.into()),
    };
    match (api, config.node_name.as_deref()) {
        (Some(api), Some(node)) => {
            if config.watch_resource_claims {
                sources = sources.claims(api.clone().claims(node));
            }
            sources = sources.pods(selected_pods(api, node.to_owned(), selected));
        }
        (Some(_), None) => {
            tracing::warn!(
                event.name = "api.unused",
                "the API server is not asked for pods: say which are this node's with --node-name"
            );
        }
        (None, _) => {}
    }
    Ok(sources)
}

/// The node's pods; a new selection of labels begins with a new list of all of them.
fn selected_pods(
    api: ApiServer,
    node: String,
    selected: watch::Receiver<Selection>,
) -> impl Stream<Item = PodEvent> + Send {
    let begin = move |selected: &mut watch::Receiver<Selection>| {
        let selection = selected.borrow_and_update().clone();
        api.clone().pods(&node, selection).boxed()
    };
    stream::unfold((None, selected), move |(pods, mut selected)| {
        let begin = begin.clone();
        async move {
            let mut pods = pods.unwrap_or_else(|| begin(&mut selected));
            loop {
                tokio::select! {
                    Ok(()) = selected.changed() => pods = begin(&mut selected),
                    event = pods.next() => return event.map(|event| (event, (Some(pods), selected))),
                }
            }
        }
    })
}

fn selection(config: &Config) -> Selection {
    Selection::new(&config.pod_labels, &config.pod_annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// multus' and cri-dockerd's directories beside each configured directory are read, and each directory once.
    #[test]
    fn directories_beside_are_read() {
        let of = |given: &[&str]| {
            let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
            let dirs = cache_dirs(&given).into_iter().map(|(dir, kind)| (dir.display().to_string(), kind));
            dirs.collect::<Vec<_>>()
        };
        let own = |dir: &str, kind| (format!("/var/lib/cni/{dir}"), kind);
        let (docker, multus) = (CacheKind::OfDocker, CacheKind::OfMultus);
        let beside = [own("cache/results", docker), own("multus/results", multus), own("results", CacheKind::Given)];
        assert_eq!(of(&["/var/lib/cni/results"]), beside);
        let twice = of(&["/var/lib/cni/results", "/var/lib/cni/cache/results"]);
        assert_eq!(twice.iter().filter(|(dir, _)| dir == "/var/lib/cni/cache/results").count(), 1);
        assert!(twice.contains(&own("cache/results", CacheKind::Given)));
        assert_eq!(of(&[]), []);
    }
}
