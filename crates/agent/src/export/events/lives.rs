//! The accounts of interfaces and pods over their lives, for the records of their ends. Pure.

use std::collections::HashMap;
use std::time::SystemTime;

use iface_core::{Counters, FinalCounters, InterfaceId};

use crate::interface::{Event, Interface, Owner, Pod};

/// Pods without an interface that are remembered: those between the two events of a rename.
const MOST_EMPTY: usize = 256;

/// Everything that an interface, or all interfaces of a pod, carried until its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Account {
    /// Time of the start; `None` where it was before the start of the agent.
    pub(super) start: Option<SystemTime>,
    pub(super) end: SystemTime,
    pub(super) carried: Counters,
}

/// Accounts that an event completes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Ended {
    /// Of the interface.
    pub(super) interface: Option<Account>,
    /// Of its pod, which has no other interface.
    pub(super) pod: Option<Account>,
}

/// Living interfaces and pods.
#[derive(Debug, Default)]
pub(super) struct Lives {
    interfaces: HashMap<InterfaceId, Living>,
    pods: HashMap<PodKey, Life>,
}

/// Namespace, name and uid.
type PodKey = (String, String, Option<String>);

#[derive(Debug)]
struct Living {
    start: Option<SystemTime>,
    pod: Option<PodKey>,
}

/// A pod, as far as interfaces have ended.
#[derive(Debug)]
struct Life {
    interfaces: usize,
    start: Option<SystemTime>,
    carried: Counters,
}

impl Lives {
    /// Follows an event; `is_new`: an added interface has begun since the agent started.
    pub(super) fn follow(&mut self, event: &Event, is_new: bool) -> Ended {
        match event {
            Event::Added(interface) => {
                let living = Living { start: is_new.then_some(interface.since), pod: None };
                self.interfaces.insert(interface.id, living);
                self.join(interface);
            }
            Event::Updated(interface, _) => self.join(interface),
            Event::Deleted(interface, counters) => return self.end(interface, counters.as_deref()),
            Event::Synced => {}
        }
        Ended::default()
    }

    /// Counts an interface among those of its present pod.
    fn join(&mut self, interface: &Interface) {
        let Some(living) = self.interfaces.get_mut(&interface.id) else { return };
        let pod = pod_of(interface).map(key_of);
        if living.pod == pod {
            return;
        }
        let (start, before) = (living.start, std::mem::replace(&mut living.pod, pod.clone()));
        if let Some(before) = before {
            self.leave(&before, None);
        }
        if let Some(pod) = pod {
            let life = self.pods.entry(pod).or_insert(Life { interfaces: 0, start, carried: Counters::default() });
            life.interfaces += 1;
            life.start = life.start.zip(start).map(|(one, other)| one.min(other));
        }
    }

    fn end(&mut self, interface: &Interface, counters: Option<&FinalCounters>) -> Ended {
        let living = self.interfaces.remove(&interface.id);
        let (start, pod) = living.map_or((None, None), |living| (living.start, living.pod));
        let account = counters.map(|last| Account { start, end: last.ended, carried: last.carried() });
        let pod = pod.and_then(|pod| self.leave(&pod, account.as_ref()));
        Ended { interface: account, pod }
    }

    /// Takes an interface from its pod; returns the account of a pod whose last interface ended. After a rename,
    /// whose `Deleted` has no counters, the interface is back at once.
    fn leave(&mut self, pod: &PodKey, account: Option<&Account>) -> Option<Account> {
        let life = self.pods.get_mut(pod)?;
        life.interfaces = life.interfaces.saturating_sub(1);
        if let Some(account) = account {
            life.carried = life.carried.plus(account.carried);
        }
        if life.interfaces > 0 {
            return None;
        }
        let Some(account) = account else {
            self.forget_empty();
            return None;
        };
        let Life { start, carried, .. } = self.pods.remove(pod)?;
        Some(Account { start, end: account.end, carried })
    }

    fn forget_empty(&mut self) {
        if self.pods.len() > self.interfaces.len() + MOST_EMPTY {
            self.pods.retain(|_, life| life.interfaces > 0);
        }
    }
}

fn pod_of(interface: &Interface) -> Option<&Pod> {
    match interface.owner.as_deref()? {
        Owner::Pod(owner) => Some(&owner.pod),
        Owner::Container(_) => None,
    }
}

fn key_of(pod: &Pod) -> PodKey {
    (pod.namespace.clone(), pod.name.clone(), pod.uid.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use iface_core::{Changes, Direction};

    use super::*;
    use crate::testing::{at, eth0, pod, pod_interface};

    fn carried(bytes: u64) -> Counters {
        Counters::new(Direction::new(bytes, 1), Direction::default())
    }

    fn deleted(interface: &Arc<Interface>, bytes: u64, seconds: u64) -> Event {
        Event::Deleted(interface.clone(), Some(Arc::new(FinalCounters::new(carried(bytes), at(seconds)))))
    }

    #[test]
    fn a_pod_ends_with_its_last_interface() {
        let web = pod("web");
        let [one, two] = [(1, "eth0", 10), (2, "net1", 12)]
            .map(|(number, name, since)| pod_interface(number, name, &web, at(since)));
        let mut lives = Lives::default();
        for interface in [&one, &two] {
            assert_eq!(lives.follow(&Event::Added(interface.clone()), true), Ended::default());
        }
        let first = lives.follow(&deleted(&two, 200, 20), true);
        assert_eq!(first.interface, Some(Account { start: Some(at(12)), end: at(20), carried: carried(200) }));
        assert_eq!(first.pod, None);
        let last = lives.follow(&deleted(&one, 100, 30), true).pod.unwrap();
        assert_eq!((last.start, last.end), (Some(at(10)), at(30)));
        assert_eq!((last.carried.receive.bytes, last.carried.receive.packets), (300, 2));
        assert!(lives.pods.is_empty() && lives.interfaces.is_empty());
    }

    /// An owner that comes later owns the whole life; an interface older than the agent has no known start.
    #[test]
    fn owners_and_starts_may_be_late() {
        let mut lives = Lives::default();
        let tagged = pod_interface(1, "eth0", &pod("web"), at(5));
        lives.follow(&Event::Added(eth0(1, at(5))), false);
        lives.follow(&Event::Updated(tagged.clone(), Changes::OWNER), true);
        let ended = lives.follow(&deleted(&tagged, 7, 9), true);
        assert_eq!(ended.pod, Some(Account { start: None, end: at(9), carried: carried(7) }));
        assert_eq!(ended.interface, ended.pod);
    }

    #[test]
    fn a_rename_ends_no_pod() {
        let mut lives = Lives::default();
        let [before, after] =
            [(1, "eth0"), (2, "net0")].map(|(number, name)| pod_interface(number, name, &pod("web"), at(5)));
        lives.follow(&Event::Added(before.clone()), true);
        assert_eq!(lives.follow(&Event::Deleted(before, None), true), Ended::default());
        lives.follow(&Event::Added(after.clone()), true);
        let pod = lives.follow(&deleted(&after, 9, 8), true).pod.unwrap();
        assert_eq!((pod.start, pod.carried), (Some(at(5)), carried(9)));
        assert!(pod.end > at(5) + Duration::from_secs(1));
    }
}
