//! Histories of pods that namespaces with and without a name share.

use std::collections::VecDeque;
use std::time::Duration;

use iface_core::EventKind;
use netns_testbed::{Netns, Observer, Rtnl, Veth, fewer};

use crate::subject::{EXACT, Informer, assert_exact};

/// Makes and deletes 500 pods as fast as the kernel can; returns the last, still alive.
pub(crate) fn churn(alive: usize, pod: impl Fn(usize) -> Netns) -> VecDeque<Netns> {
    let mut window = VecDeque::new();
    for number in 0..fewer(500) {
        window.push_back(pod(number));
        if window.len() > alive {
            drop(window.pop_front());
        }
    }
    window
}

/// Makes 150 pods, each with a veth at once, and checks that each link is `Added` once and not `Deleted` meanwhile.
#[track_caller]
pub(crate) fn assert_added_once(observer: &mut Observer<Informer>, new: impl Fn(usize) -> Netns) {
    let with_veth = |number| {
        let pod = new(number);
        (Veth::up(&format!("host{number}"), &pod, "eth0"), pod)
    };
    let count = fewer(150);
    let pods: Vec<_> = (0..count).map(with_veth).collect();
    observer.until("all are there", EXACT, |replay| replay.interfaces().count() == 1 + count * 3);
    assert_exact(observer, pods.iter().map(|(_, pod)| pod));
    for (veth, pod) in &pods {
        let place = pod.place();
        for (place, name) in [("host", veth.host()), (&place, "eth0"), (&place, "lo")] {
            let story = observer.replay().story(place, name);
            let count = |kind| story.iter().filter(|one| **one == kind).count();
            assert_eq!((count(EventKind::Added), count(EventKind::Deleted)), (1, 0), "{place}/{name}: {story:?}");
        }
    }
    pods.into_iter().for_each(|(veth, _)| veth.leave());
}

/// Makes a pod and deletes its predecessor, four times; returns the last. Inode and nsid of a pod are often the ones
/// of its predecessor, the links have the round and the cycle in their names.
pub(crate) fn made_again(observer: &mut Observer<Informer>, round: usize, new: impl Fn() -> Netns) -> Option<Netns> {
    let mut last = None;
    for cycle in 0..4 {
        drop(last.take());
        observer.read_for(Duration::from_millis(30));
        let pod = new();
        let rtnl = pod.rtnl();
        rtnl.add_link("bridge", &format!("a{round}-{cycle}"));
        Rtnl::new().add_veth(&format!("host{round}-{cycle}"), "eth0", Some(pod.path()));
        rtnl.add_link("bridge", &format!("b{round}-{cycle}"));
        last = Some(pod);
    }
    last
}
