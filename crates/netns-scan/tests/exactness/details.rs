//! Counters that explain errors and drops.

use iface_core::Detail;
use netns_testbed::{NetnsDir, QuietVeth, Test, tests};

use crate::subject::{EXACT, Subject};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    tests![Subject::WATCHERS; multicast_packets_are_counted]
}

/// A macvlan counts what its link receives by broadcast, somewhat later. A veth counts no such packets.
fn multicast_packets_are_counted(subject: Subject) {
    let dir = NetnsDir::standard();
    let pod = dir.add("pod");
    let veth = QuietVeth::up("host0", &pod, "eth0", 1);
    let rtnl = pod.rtnl();
    rtnl.add_macvlan("mac0", rtnl.index_of("eth0").unwrap(), None);
    rtnl.up(&["mac0"]);
    let mut observer = subject.start_with(vec!["/run/netns".into()], |options| options.details = true);
    observer.synced();
    veth.send_in(50);
    let handle = observer.informer().handle();
    let [above, below] = ["mac0", "eth0"].map(|name| observer.replay().find("pod", name).unwrap().id);
    let read = async {
        loop {
            let readings = handle.counters(Vec::new()).await.unwrap();
            let details = handle.details();
            assert!(readings.iter().all(|reading| details.contains_key(&reading.id)), "each interface has them");
            let multicast = |id| details[&id].get(Detail::Multicast);
            assert_eq!(multicast(below), Some(0));
            if multicast(above) == Some(50) {
                return;
            }
        }
    };
    observer.wait("50 packets by broadcast", EXACT, read);
    drop(pod);
}
