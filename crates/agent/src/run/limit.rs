//! Limits the log lines and event records of interfaces, so that a pod that changes its links as fast as possible can
//! neither fill the node's disk nor a receiver.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use iface_core::{InterfaceId, NetnsId};
use tokio::time::Instant;

use crate::interface::Interface;

/// The most per period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Omissions are reported at its end.
    pub(super) period: Duration,
    pub(super) per_interface: u32,
    /// Per pod or container, or per namespace without an owner. The host's interfaces without an owner have no such limit.
    pub(super) per_subject: u32,
    pub(super) in_all: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Two hostile pods write less than 1 MB of log per hour; a node on which 100 pods start in a minute loses no line.
pub(super) const LINES: Limits = Limits { period: MINUTE, per_interface: 6, per_subject: 20, in_all: 600 };
/// Records are compact, and receivers count on most of them.
pub(super) const RECORDS: Limits = Limits { period: MINUTE, per_interface: 30, per_subject: 120, in_all: 6000 };

/// Allows as much as [`Limits`] say and counts the rest.
#[derive(Debug)]
pub(super) struct Limiter {
    limits: Limits,
    since: Instant,
    allowed: u32,
    omitted: u64,
    interfaces: HashMap<InterfaceId, u32>,
    /// Allowed and omitted.
    subjects: HashMap<Subject, (u32, u64)>,
}

/// The unit that is limited on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Owner(String),
    Netns(NetnsId),
}

/// The omissions of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Omitted {
    pub(super) count: u64,
    /// The pod with most omissions.
    pub(super) pod: Option<String>,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        let (interfaces, subjects) = (HashMap::new(), HashMap::new());
        Self { limits, since: Instant::now(), allowed: 0, omitted: 0, interfaces, subjects }
    }

    /// Whether one more about this interface is within all limits.
    pub(super) fn allows(&mut self, interface: &Interface, now: Instant) -> bool {
        if self.omitted == 0 && now >= self.since + self.limits.period {
            self.restart(now);
        }
        let allowed = self.is_within(interface);
        if allowed {
            self.allowed += 1
        } else {
            self.omitted += 1
        }
        allowed
    }

    fn is_within(&mut self, interface: &Interface) -> bool {
        let full = self.allowed >= self.limits.in_all;
        let subject = Subject::of(interface);
        // Beyond the limit in all, nothing new is remembered, so the maps stay bounded.
        let mut subject = subject.and_then(|subject| match full {
            true => self.subjects.get_mut(&subject),
            false => Some(self.subjects.entry(subject).or_default()),
        });
        let within = !full
            && subject.as_ref().is_none_or(|(allowed, _)| *allowed < self.limits.per_subject)
            && add(&mut self.interfaces, interface.id, self.limits.per_interface);
        if let Some((allowed, omitted)) = &mut subject {
            if within { *allowed += 1 } else { *omitted += 1 }
        }
        within
    }

    /// Returns at the end of a period in which something was omitted.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn report(&mut self) -> Omitted {
        if self.omitted == 0 {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.since + self.limits.period).await;
        let most =
            self.subjects.iter().filter(|(_, (_, omitted))| *omitted > 0).max_by_key(|(_, (_, omitted))| *omitted);
        let pod = most.and_then(|(subject, _)| match subject {
            Subject::Owner(name) => Some(name.clone()),
            Subject::Netns(_) => None,
        });
        let report = Omitted { count: self.omitted, pod };
        self.restart(Instant::now());
        report
    }

    fn restart(&mut self, now: Instant) {
        (self.since, self.allowed, self.omitted) = (now, 0, 0);
        self.interfaces.clear();
        self.subjects.clear();
    }
}

impl Subject {
    fn of(interface: &Interface) -> Option<Self> {
        match interface.owner.as_deref() {
            Some(owner) => Some(Self::Owner(owner.to_string())),
            None if interface.netns.is_host() => None,
            None => Some(Self::Netns(interface.netns.id)),
        }
    }
}

/// Counts one more, unless there are as many already.
fn add<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K, most: u32) -> bool {
    let count = counts.entry(key).or_default();
    let room = *count < most;
    *count += u32::from(room);
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, eth0, pod, pod_interface};

    const LIMITS: Limits = Limits { period: Duration::from_millis(200), per_interface: 2, per_subject: 3, in_all: 5 };

    #[tokio::test]
    async fn interface_pod_and_total_are_limited() {
        let mut limiter = Limiter::new(LIMITS);
        let now = Instant::now();
        let evil = pod("evil");
        let mut allowed = |number| limiter.allows(&pod_interface(number, "eth0", &evil, at(1)), now);
        assert_eq!([1, 1, 1].map(&mut allowed), [true, true, false], "per interface");
        assert_eq!([2, 2, 3].map(&mut allowed), [true, false, false], "per pod");
        let mut host = |number| limiter.allows(&eth0(number, at(1)), now);
        assert_eq!([10, 11, 12].map(&mut host), [true, true, false], "in all");
        let report = limiter.report().await;
        assert_eq!(report, Omitted { count: 4, pod: Some("default/evil".to_owned()) });
        assert!(now.elapsed() >= LIMITS.period);
        assert!(limiter.allows(&eth0(12, at(1)), Instant::now()), "a new period begins");
    }

    #[tokio::test]
    async fn nothing_omitted_is_not_reported() {
        let mut limiter = Limiter::new(LIMITS);
        assert!(limiter.allows(&eth0(1, at(1)), Instant::now()));
        assert!(tokio::time::timeout(LIMITS.period * 2, limiter.report()).await.is_err());
        assert!(limiter.allows(&eth0(1, at(1)), Instant::now()));
        assert!(limiter.allows(&eth0(1, at(1)), Instant::now()));
    }
}
