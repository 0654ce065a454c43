//! The time of looks at all processes: only while a namespace has no pod, and seldom.

use std::future::Future as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use iface_core::NetnsId;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::owner::process::look::{Inside, Look, Podless, Sought, cpu_time};
use crate::owner::status::OwnerStatus;
use crate::owner::tagger::Tagger;

/// Time between two looks at the same namespaces.
const PERIOD: Duration = Duration::from_secs(15);

/// Time from the discovery of a namespace to a look: nearly all pods are known by then from other sources.
const SETTLING: Duration = Duration::from_secs(1);

/// Share of a processor for looks: after a look, at least this many times its processor time passes.
const SHARE: u32 = 50;

/// Time for which a namespace must last after a look: the kernel reuses inodes, and the end of a namespace may not be
/// known yet. Names tell at once, processes at the next look of the discovery, after 10 s at most.
const LASTS_NAMED: Duration = Duration::from_secs(1);
const LASTS_UNNAMED: Duration = Duration::from_secs(12);

/// Looks at all processes while a namespace has no pod.
#[derive(Debug)]
pub(in crate::owner) struct Looks {
    proc: Arc<Path>,
    /// For a list that is read once: looks at once, and does not wait afterwards.
    once: bool,
    /// Runs after the first list of pods.
    timer: Option<Pin<Box<Sleep>>>,
    /// The newest namespace at the last change of the timer, and at the last look.
    newest: Option<NetnsId>,
    looked: Option<NetnsId>,
    /// Times of the next look, at new namespaces and at the same.
    earliest: Instant,
    due: Instant,
    looking: Option<(JoinHandle<(Look, Duration)>, Sought)>,
    /// Evidence until its namespaces have lasted.
    held: Vec<(Pin<Box<Sleep>>, Vec<Inside>)>,
    /// Whether the need of a look was considered.
    considered: bool,
}

impl Looks {
    pub(in crate::owner) fn new(proc: Arc<Path>, once: bool) -> Self {
        Self {
            proc,
            once,
            timer: None,
            newest: None,
            looked: None,
            earliest: Instant::now(),
            due: Instant::now(),
            looking: None,
            held: Vec::new(),
            considered: false,
        }
    }

    /// A list of pods is complete.
    pub(in crate::owner) fn listed(&mut self) {
        let pause = if self.once { Duration::ZERO } else { SETTLING };
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + pause)));
    }

    /// Applies the evidence of a look, after all other inputs; returns `false` without evidence.
    pub(in crate::owner) fn take(
        &mut self,
        cx: &mut Context<'_>,
        tagger: &mut Tagger,
        status: &watch::Sender<OwnerStatus>,
    ) -> bool {
        if let Poll::Ready(evidence) = self.poll(cx, tagger) {
            tagger.processes(evidence);
            return true;
        }
        // All events of the first look have been read.
        let is_over = self.considered && self.looking.is_none() && self.held.is_empty();
        status.send_if_modified(|status| is_over && std::mem::take(&mut status.awaits_processes));
        false
    }

    /// Ready with the evidence of a look about namespaces that have lasted.
    fn poll(&mut self, cx: &mut Context<'_>, tagger: &Tagger) -> Poll<Vec<Inside>> {
        loop {
            self.take_result(cx);
            let lasted = self.held.iter_mut().position(|(lasting, _)| lasting.as_mut().poll(cx).is_ready());
            if let Some(at) = lasted {
                return Poll::Ready(self.held.remove(at).1);
            }
            if self.looking.is_some() || !self.begin(cx, tagger) {
                return Poll::Pending;
            }
        }
    }

    fn take_result(&mut self, cx: &mut Context<'_>) {
        let Some((task, sought)) = &mut self.looking else { return };
        let Poll::Ready(result) = Pin::new(task).poll(cx) else { return };
        let podless = std::mem::take(&mut sought.podless);
        self.looking = None;
        let now = Instant::now();
        self.due = now + PERIOD;
        let Ok((look, cost)) = result else { return };
        self.earliest = now + cost * SHARE;
        self.due = self.due.max(self.earliest);
        let (named, unnamed): (Vec<_>, Vec<_>) = look.about(&podless).into_iter().partition(|(one, _)| one.is_named);
        self.hold(named, LASTS_NAMED);
        self.hold(unnamed, LASTS_UNNAMED);
    }

    fn hold(&mut self, evidence: Vec<(Podless, Inside)>, time: Duration) {
        if !evidence.is_empty() {
            let time = if self.once { Duration::ZERO } else { time };
            let lasting = Box::pin(sleep_until(Instant::now() + time));
            self.held.push((lasting, evidence.into_iter().map(|(_, inside)| inside).collect()));
        }
    }

    /// Begins a look when the time has come and a namespace has no pod; returns whether a look was begun.
    fn begin(&mut self, cx: &mut Context<'_>, tagger: &Tagger) -> bool {
        // Until all namespaces are known, a process may be in an unknown one with the inode of another.
        let Some(timer) = self.timer.as_mut().filter(|_| tagger.is_complete()) else { return false };
        let newest = tagger.newest();
        if newest > self.newest {
            self.newest = newest;
            let soon = (Instant::now() + SETTLING).max(self.earliest);
            if soon < timer.deadline() {
                timer.as_mut().reset(soon);
            }
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now < self.earliest {
                timer.as_mut().reset(self.earliest);
                continue;
            }
            timer.as_mut().reset(if now < self.due { self.due } else { now + PERIOD });
            let sought = tagger.sought();
            self.considered = true;
            let has_new = sought.podless.values().any(|one| Some(one.id) > self.looked);
            if sought.podless.is_empty() || (now < self.due && !has_new) {
                continue;
            }
            self.looked = newest;
            let (proc, host) = (self.proc.clone(), sought.host);
            let look = move || {
                let start = cpu_time();
                let look = Look::new(&proc, host);
                (look, cpu_time().saturating_sub(start))
            };
            self.looking = Some((spawn_blocking(look), sought));
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests;
