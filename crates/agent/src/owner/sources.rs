//! The sources of owners, as they are set up.

use std::io;
use std::path::PathBuf;

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};

use crate::owner::claim::ClaimEvent;
use crate::owner::cni::dir::{CniChange, CniDir};
use crate::owner::cni::result::Attachment;
use crate::owner::container::dir::{ContainerChange, ContainerDir};
use crate::owner::container::rootless::UserContainers;
use crate::owner::kube::Selection;
use crate::owner::pod::PodEvent;
use crate::owner::process::looks::Looks;
use crate::owner::status::OwnerStatus;

/// The sources of owners.
#[derive(Default)]
pub struct OwnerSources {
    pub(super) caches: Vec<Cache>,
    pub(super) containers: SelectAll<BoxStream<'static, ContainerChange>>,
    pub(super) pods: Option<BoxStream<'static, PodEvent>>,
    pub(super) claims: Option<BoxStream<'static, ClaimEvent>>,
    proc: Option<PathBuf>,
    skip_left_over: bool,
    pub(super) leaks_at_once: bool,
    selection: Selection,
}

impl OwnerSources {
    /// Lets directories that are added later skip files about namespaces that do not exist; see
    /// [`CniDir::skip_left_over`].
    #[must_use]
    pub fn skip_left_over(mut self) -> Self {
        self.skip_left_over = true;
        self
    }

    /// Marks namespaces whose pod the API server does not know as leaked without any grace: for a list that is read once.
    #[must_use]
    pub fn leaks_at_once(mut self) -> Self {
        self.leaks_at_once = true;
        self
    }

    /// Lets directories that are added later make attributes from annotations in files.
    #[must_use]
    pub fn select(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    fn follow(&self, dir: impl Into<PathBuf>) -> io::Result<CniDir> {
        let dir = CniDir::new(dir)?.select(self.selection.clone());
        Ok(if self.skip_left_over { dir.skip_left_over() } else { dir })
    }

    /// Adds a directory of the CNI result cache.
    ///
    /// # Errors
    /// See [`CniDir::new`].
    pub fn cni_dir(mut self, dir: impl Into<PathBuf>) -> io::Result<Self> {
        self.caches.push(Cache::new(self.follow(dir)?.boxed(), false));
        Ok(self)
    }

    /// Adds the directory in which cri-dockerd keeps results; a missing directory is not a fault.
    ///
    /// # Errors
    /// See [`CniDir::new`].
    pub fn docker_dir(mut self, dir: impl Into<PathBuf>) -> io::Result<Self> {
        self.caches.push(Cache::new(self.follow(dir)?.boxed(), true));
        Ok(self)
    }

    /// Adds the directory with results of multus' delegate plugins.
    ///
    /// Few nodes have multus, so a missing directory is not a fault.
    ///
    /// # Errors
    /// See [`CniDir::new`].
    pub fn multus_dir(mut self, dir: impl Into<PathBuf>) -> io::Result<Self> {
        let delegated = self.follow(dir)?.map(|change| match change {
            CniChange::Read(path, attachment) => {
                CniChange::Read(path, Attachment { delegated: true, ..*attachment }.into())
            }
            other => other,
        });
        self.caches.push(Cache::new(delegated.boxed(), true));
        Ok(self)
    }

    /// Takes processes in this `/proc` as evidence, and lets directories of records that are added later find namespaces by
    /// processes.
    #[must_use]
    pub fn processes(mut self, proc: Option<PathBuf>) -> Self {
        self.proc = proc;
        self
    }

    /// Looks at processes, which name the uid of a pod at the API server.
    pub(super) fn looks(&self) -> Option<Looks> {
        let proc = self.proc.as_deref().filter(|_| self.pods.is_some())?;
        Some(Looks::new(proc.into(), self.leaks_at_once))
    }

    /// The status before any answer of a source.
    pub(super) fn status(&self) -> OwnerStatus {
        OwnerStatus {
            pods_listed: self.pods.as_ref().map(|_| false),
            awaits_claims: self.claims.is_some(),
            awaits_processes: self.leaks_at_once && self.looks().is_some(),
            ..OwnerStatus::default()
        }
    }

    /// Adds a directory with records of container runtimes; a missing directory is not a fault.
    ///
    /// # Errors
    /// See [`ContainerDir::new`].
    pub fn container_dir(&mut self, dir: impl Into<PathBuf>) -> io::Result<()> {
        self.containers.push(ContainerDir::new(dir)?.processes(self.proc.clone()).boxed());
        Ok(())
    }

    /// Adds the containers of users' own podman, by their processes in the `/proc` of [`processes`](Self::processes).
    ///
    /// # Errors
    /// See [`UserContainers::new`].
    pub fn user_containers(&mut self) -> io::Result<()> {
        if let Some(proc) = self.proc.clone() {
            self.containers.push(UserContainers::new(proc)?.boxed());
        }
        Ok(())
    }

    /// Adds the pods of the API server.
    #[must_use]
    pub fn pods(mut self, pods: impl Stream<Item = PodEvent> + Send + 'static) -> Self {
        self.pods = Some(pods.boxed());
        self
    }

    /// Adds the ResourceClaims of the API server.
    #[must_use]
    pub fn claims(mut self, claims: impl Stream<Item = ClaimEvent> + Send + 'static) -> Self {
        self.claims = Some(claims.boxed());
        self
    }
}

/// A directory of CNI results.
pub(super) struct Cache {
    pub(super) changes: BoxStream<'static, CniChange>,
    /// Whether the content at the start has been read.
    pub(super) listed: bool,
    /// Whether the source may be missing without a fault.
    pub(super) optional: bool,
    pub(super) fault: Option<String>,
}

impl Cache {
    fn new(changes: BoxStream<'static, CniChange>, optional: bool) -> Self {
        Self { changes, listed: false, optional, fault: None }
    }
}
