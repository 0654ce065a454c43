//! A namespace whose name goes and comes back, as on a kernel before Linux 6.18, which tells no cookies.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use iface_core::{Informer, Netns as Known, Place};
use netns_agent::interface::Event;
use netns_agent::owner::{OwnerSources, WithOwners};
use netns_scan::{EngineChoice, WatchOptions, Watcher};
use netns_testbed::{LinkChange, NetnsDir, Rtnl, Test, Veth, tests, write_cni_result};
use tokio::runtime::Builder;
use tokio::time::timeout;

pub(crate) fn tests() -> Vec<Test> {
    tests![returned_name_keeps_its_pod].into()
}

const MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 0xf4, 0, 5];
const LIMIT: Duration = Duration::from_secs(20);

/// The events of a kernel without cookies.
fn without_cookies(events: impl Informer) -> impl Informer {
    events.map(|event| {
        event.map(|interface| {
            let mut plain = (**interface).clone();
            plain.netns = Arc::new(Known::clone(&plain.netns).with_cookie(None));
            Arc::new(plain)
        })
    })
}

/// Reads until an event about `eth0` inside fits.
async fn until(owned: &mut WithOwners<impl Informer>, what: &str, fits: impl Fn(&Event) -> bool) {
    let found = async {
        while let Some(event) = owned.next().await {
            let is_inside = event.interface().is_some_and(|one| one.name == "eth0" && !one.netns.is_host());
            if is_inside && fits(&event) {
                return true;
            }
        }
        false
    };
    assert_eq!(timeout(LIMIT, found).await, Ok(true), "{what}");
}

fn is_owned(event: &Event) -> bool {
    let (Event::Added(one) | Event::Updated(one, _)) = event else { return false };
    let pod = one.owner.as_ref().and_then(|owner| owner.pod());
    one.netns.name().is_some() && pod.is_some_and(|pod| pod.name == "web-0")
}

/// A process keeps the namespace alive. The nsid engine follows the namespace without its name in between.
fn returned_name_keeps_its_pod() {
    Rtnl::new().up(&["lo"]);
    let dir = NetnsDir::standard();
    let cni = PathBuf::from("/run/cni-results");
    fs::create_dir(&cni).unwrap();
    let mut netns = dir.add("blue");
    let veth = Veth::up("veth0", &netns, "eth0");
    netns.rtnl().set("eth0", LinkChange::Mac(MAC));
    write_cni_result(&cni, "web-0", &netns, veth.host(), MAC, "10.244.0.5/24");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for engine in [EngineChoice::Nsid, EngineChoice::Setns] {
        netns = runtime.block_on(async {
            let dirs = vec![dir.path().to_owned()];
            let watcher = Watcher::start(WatchOptions { dirs, engine, ..WatchOptions::default() }).unwrap();
            let sources = OwnerSources::default().cni_dir(&cni).unwrap();
            let mut owned = WithOwners::new(without_cookies(watcher), sources);
            until(&mut owned, "the result proves the pod", is_owned).await;
            let netns = netns.nameless();
            until(&mut owned, "the name goes", |event| matches!(event, Event::Deleted(..))).await;
            if engine == EngineChoice::Nsid {
                let is_nameless = |event: &Event| matches!(event.interface().unwrap().netns.place, Place::Nsid(_));
                until(&mut owned, "the namespace is followed by its nsid", is_nameless).await;
            }
            let netns = netns.named(&dir, "blue");
            until(&mut owned, "the namespace is the pod's again", is_owned).await;
            netns
        });
    }
}
