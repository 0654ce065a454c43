//! An informer whose interfaces carry their owners.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::causes::chain;
use crate::interface::Event;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use iface_core::{Informer, NetnsId};
use nix::errno::Errno;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::owner::claim::ClaimEvent;
use crate::owner::cni::dir::{CniChange, Unavailable};
use crate::owner::cni::file::space_at;
use crate::owner::cni::result::Refusal;
use crate::owner::container::dir::ContainerChange;
use crate::owner::container::record::Subject;
use crate::owner::holders::Holders;
use crate::owner::leaks::Leaks;
use crate::owner::node_check::NodeCheck;
use crate::owner::pod::{PodChange, PodEvent};
use crate::owner::process::looks::Looks;
use crate::owner::sources::{Cache, OwnerSources};
use crate::owner::status::OwnerStatus;
use crate::owner::tagger::Tagger;

/// The fault of a wrong name of the node, with the remedy.
pub const FOREIGN: &str = "the API server knows none of the pods in this node's namespaces: set --node-name to this node's name in `kubectl get nodes`";

/// Number of inputs applied before other tasks of the thread run.
const TURN: usize = 64;

/// Passes an informer's events on with the owner of each interface, and an
/// [`Event::Updated`] whenever the owner changes.
///
/// Wrap the source of all events and filter afterwards: a filtered interface may be the proof of its
/// namespace's owner. No event is emitted before the CNI cache was read once, so interfaces that
/// exist at the start come with their pods. The stream never waits for an API server.
pub struct WithOwners<I> {
    inner: I,
    inner_ended: bool,
    caches: Vec<Cache>,
    containers: SelectAll<BoxStream<'static, ContainerChange>>,
    pods: Option<BoxStream<'static, PodEvent>>,
    claims: Option<BoxStream<'static, ClaimEvent>>,
    claim_fault: Option<String>,
    looks: Option<Looks>,
    tagger: Tagger,
    ready: VecDeque<Event>,
    /// Whether events of a complete list of pods are unread.
    listed_unread: bool,
    node: NodeCheck,
    leaks: Leaks,
    leaks_at_once: bool,
    status: watch::Sender<OwnerStatus>,
}

impl<I: Informer> WithOwners<I> {
    /// Adds owners from `sources` to the interfaces of `inner`.
    pub fn new(inner: I, sources: OwnerSources) -> Self {
        let (looks, status) = (sources.looks(), sources.status());
        Self {
            inner,
            inner_ended: false,
            caches: sources.caches,
            containers: sources.containers,
            pods: sources.pods,
            claims: sources.claims,
            claim_fault: None,
            looks,
            tagger: Tagger::default(),
            ready: VecDeque::new(),
            listed_unread: false,
            node: NodeCheck::default(),
            leaks: Leaks::default(),
            leaks_at_once: sources.leaks_at_once,
            status: watch::Sender::new(status),
        }
    }

    /// A view of the status of the sources; may outlive the stream.
    pub fn status(&self) -> watch::Receiver<OwnerStatus> {
        self.status.subscribe()
    }

    /// Applies one input; returns `false` without a pending input.
    fn take_input(&mut self, cx: &mut Context<'_>) -> bool {
        for at in 0..self.caches.len() {
            match self.caches[at].changes.poll_next_unpin(cx) {
                Poll::Ready(Some(change)) => {
                    self.cache_changed(at, change);
                    return true;
                }
                Poll::Ready(None) => {
                    // The source has ended: its evidence stays.
                    self.caches.remove(at);
                    return true;
                }
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(Some(change)) = self.containers.poll_next_unpin(cx) {
            self.container_changed(change);
            return true;
        }
        if self.caches.iter().any(|cache| !cache.listed) {
            return false;
        }
        // Interfaces before pods: the API server publishes an address after its assignment, and all other
        // holders of the address must be known by then.
        if !self.inner_ended {
            match self.inner.poll_next_unpin(cx) {
                // The tagger finds owners; the informer sets none.
                Poll::Ready(Some(event)) => {
                    let event = event.map(|new| Arc::new(new.with_owner(None)));
                    self.forget_ended(&event);
                    self.tagger.event(event);
                }
                Poll::Ready(None) => self.inner_ended = true,
                Poll::Pending => return self.take_pods(cx),
            }
            return true;
        }
        false
    }

    fn take_pods(&mut self, cx: &mut Context<'_>) -> bool {
        match self.pods.as_mut().map(|pods| pods.poll_next_unpin(cx)) {
            Some(Poll::Ready(Some(event))) => {
                self.pods_changed(event);
                true
            }
            Some(Poll::Ready(None)) => {
                self.pods = None;
                self.take_claims(cx)
            }
            Some(Poll::Pending) | None => self.take_claims(cx),
        }
    }

    fn take_claims(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Poll::Ready(next)) = self.claims.as_mut().map(|claims| claims.poll_next_unpin(cx)) else {
            return self.looks.as_mut().is_some_and(|looks| looks.take(cx, &mut self.tagger, &self.status));
        };
        match next {
            Some(event) => self.claims_changed(event),
            None => self.claims = None,
        }
        true
    }

    /// Files of a path that has led to another namespace with the inode of a new namespace are left over, and so are
    /// claims of users.
    fn forget_ended(&mut self, event: &Event) {
        let Event::Added(interface) = event else { return };
        for (file, path) in self.tagger.files_at(interface) {
            if space_at(&path) != interface.netns.file {
                self.tagger.file_gone(&file);
            }
        }
        for (record, netns) in self.tagger.users_at(interface) {
            if !netns.is_current() {
                self.tagger.container_gone(&record);
            }
        }
    }

    fn cache_changed(&mut self, at: usize, change: CniChange) {
        let cache = &mut self.caches[at];
        match change {
            CniChange::Read(path, attachment) => self.tagger.file(&path, *attachment),
            CniChange::Gone(path) => self.tagger.file_gone(&path),
            CniChange::Refused(path, refusal) => {
                self.tagger.file_gone(&path);
                self.refused(&path, &refusal);
            }
            CniChange::LeftOver(files) => {
                self.status.send_if_modified(|status| {
                    status.tallies.left_over_files += files;
                    false
                });
            }
            CniChange::Listed => cache.listed = true,
            CniChange::Unavailable(Unavailable { errno: Errno::ENOENT, .. }) if cache.optional => {}
            CniChange::Unavailable(unavailable) => {
                match unavailable.errno {
                    Errno::ENOENT => info!(event.name = "cni_cache.absent", "{unavailable}"),
                    _ => warn!(event.name = "cni_cache.unavailable", "{unavailable}"),
                }
                cache.fault = Some(unavailable.to_string());
            }
            CniChange::Available => cache.fault = None,
        }
    }

    fn container_changed(&mut self, change: ContainerChange) {
        match change {
            ContainerChange::Read(path, subject) => match *subject {
                Subject::Container(record) => self.tagger.container(&path, record),
                Subject::Pod(sandbox) => self.tagger.sandbox(&path, sandbox),
            },
            ContainerChange::Gone(path) => self.tagger.container_gone(&path),
            ContainerChange::Unavailable(dir, errno) => {
                let (dir, error) = (dir.display(), errno.desc());
                info!(
                    event.name = "container_records.unavailable",
                    "the records of containers in {dir} cannot be read ({error}), so their interfaces have no owner; run \
                     as uid 0 or with CAP_DAC_READ_SEARCH, or leave the directory out of --container-dir"
                );
            }
        }
    }

    fn refused(&mut self, path: &std::path::Path, refusal: &Refusal) {
        let path = path.display();
        // A reason is formatted only if it is logged: hundreds of thousands of files may be left over.
        let left_over = matches!(refusal, Refusal::LeftOver(_));
        if left_over {
            debug!(event.name = "cni_cache.left_over", file = %path, "CNI cache file {path} {}", chain(refusal));
        } else if matches!(refusal, Refusal::NoPod | Refusal::NoNetns) {
            debug!(event.name = "cni_cache.foreign", file = %path, "CNI cache file {path} {}", chain(refusal));
        } else {
            warn!(event.name = "cni_cache.refused", file = %path, "CNI cache file {path} {}", chain(refusal));
        }
        self.status.send_if_modified(|status| {
            let tallies = &mut status.tallies;
            match refusal {
                Refusal::LeftOver(_) => tallies.left_over_files += 1,
                Refusal::NoPod | Refusal::NoNetns => tallies.foreign_files += 1,
                _ => tallies.refused_files += 1,
            }
            !left_over
        });
    }

    fn pods_changed(&mut self, event: PodEvent) {
        match event {
            PodEvent::Change(change) => {
                if matches!(change, PodChange::Listed(_)) {
                    self.listed_unread = true;
                    self.leaks.listed();
                    self.node.listed();
                    self.looks.iter_mut().for_each(Looks::listed);
                }
                self.leaks.answered();
                self.tagger.pod(change);
                if self.leaks_at_once {
                    self.tagger.mark_leaked(self.tagger.orphans());
                }
                self.status.send_if_modified(|status| {
                    let recovered = status.pod_fault.take().is_some();
                    if recovered {
                        info!(event.name = "pods.recovered", "the API server answers again");
                    }
                    recovered
                });
            }
            PodEvent::Fault(fault) => {
                self.leaks.failed();
                self.status.send_modify(|status| {
                    status.tallies.pod_faults += 1;
                    if status.pod_fault.as_ref() != Some(&fault) {
                        warn!(event.name = "pods.fault", "{fault}; what is known of pods stays in use");
                        status.pod_fault = Some(fault);
                    }
                });
            }
        }
    }

    fn claims_changed(&mut self, event: ClaimEvent) {
        let fault = match event {
            ClaimEvent::Change(change) => {
                self.tagger.claim(change);
                None
            }
            ClaimEvent::Unused(why) | ClaimEvent::Fault(why) => Some(why),
        };
        if fault != self.claim_fault {
            // Interfaces keep their pods, and the agent is as ready as before.
            if let Some(fault) = &fault {
                info!(
                    event.name = "claims.unused",
                    "{fault}; interfaces of DRA drivers are shown without their devices"
                );
            }
            self.claim_fault = fault;
        }
        self.status.send_if_modified(|status| std::mem::take(&mut status.awaits_claims));
    }

    /// Compares namespaces with the pods of the API server; returns whether owners may have changed.
    fn check_node(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_compared = false;
        while let Poll::Ready(foreign) = self.node.poll(cx, &self.tagger) {
            if foreign {
                warn!(event.name = "pods.foreign", "{FOREIGN}");
            }
            self.status.send_modify(|status| status.foreign_pods = foreign);
        }
        while let Poll::Ready(found) = self.leaks.poll(cx, &self.tagger) {
            has_compared = true;
            self.disown(found.strangers);
            for id in found.new {
                let Some((netns, pod)) = self.tagger.named_pod(id) else { continue };
                let (namespace, name) = (&pod.namespace, &pod.name);
                let holders = Holders::find(Path::new("/proc"), netns.file);
                let netns = netns.place.to_string();
                warn!(
                    event.name = "netns.leaked",
                    netns,
                    "network namespace {netns} is left over: the API server has not known its pod {namespace}/{name} for \
                     5 minutes; {holders}, and the runtime's log may tell of a failed CNI DEL"
                );
            }
            let leaked = found.all.len() as u64;
            if !self.leaks_at_once {
                self.tagger.mark_leaked(found.all);
            }
            self.status.send_if_modified(|status| std::mem::replace(&mut status.tallies.leaked, leaked) != leaked);
        }
        has_compared
    }

    /// Takes back the pods of CNI results that are no pods' in all likelihood.
    fn disown(&mut self, strangers: BTreeSet<NetnsId>) {
        for id in &strangers {
            let Some((netns, pod)) = self.tagger.named_pod(*id) else { continue };
            let (netns, namespace, name) = (netns.place.to_string(), &pod.namespace, &pod.name);
            info!(
                event.name = "cni_cache.stranger",
                netns,
                "the CNI result of network namespace {netns} names pod {namespace}/{name} without a uid, and the API \
                 server has not known this pod for 5 minutes: the container is another program's, or the pod is gone; \
                 the namespace has no pod until the API server knows the pod"
            );
        }
        self.tagger.disown(strangers);
    }

    /// Publishes the results of the inputs: events, log lines, tallies.
    fn publish(&mut self) {
        self.ready.extend(self.tagger.events());
        for new in self.tagger.new_conflicts() {
            let netns = &new.name;
            warn!(event.name = "owner.conflict", netns, "network namespace {netns}: {}", new.conflict);
        }
        let (tagger, caches) = (&self.tagger, &self.caches);
        self.status.send_if_modified(|status| {
            let before = status.tallies;
            let faults = caches.iter().filter_map(|cache| cache.fault.as_ref());
            let faults_differ = !faults.clone().eq(&status.cache_faults);
            if faults_differ {
                status.cache_faults = faults.cloned().collect();
            }
            status.tallies.files = tagger.files() as u64;
            status.tallies.proven_files = tagger.proven_files() as u64;
            status.tallies.pods = tagger.pods() as u64;
            status.tallies.conflicts = tagger.conflicts();
            status.tallies.untagged = tagger.untagged() as u64;
            faults_differ || status.tallies != before
        });
    }
}

impl<I: Informer> Stream for WithOwners<I> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        for _ in 0..TURN {
            let event = this.ready.pop_front();
            if this.ready.is_empty() {
                this.ready.shrink_to(TURN);
            }
            if this.ready.is_empty() && std::mem::take(&mut this.listed_unread) {
                this.status.send_modify(|status| status.pods_listed = Some(true));
            }
            if event.is_some() {
                return Poll::Ready(event);
            }
            if !this.take_input(cx) && !this.check_node(cx) {
                return if this.inner_ended { Poll::Ready(None) } else { Poll::Pending };
            }
            this.publish();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
