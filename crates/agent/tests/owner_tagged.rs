//! Interfaces from an informer, files from a directory on disk, pods from a stream: owners out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use iface_core::{Changes, NetnsName, NsFile, Place};
use netns_agent::interface::{Event, Owner, Pod, Workload, WorkloadKind};
use netns_agent::owner::pod::{PodChange, PodEvent, PodRecord};
use netns_agent::owner::{OwnerSources, OwnerStatus, WithOwners};
use netns_agent::testing;
use serde_json::json;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);

/// An event before its interface has an owner.
type Incoming = iface_core::Event;
type Inner = stream::BoxStream<'static, Incoming>;

fn informer() -> (mpsc::UnboundedSender<Incoming>, Inner) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed())
}

fn eth0(netns: &str) -> Arc<iface_core::Interface> {
    Arc::new(testing::interface(1, "eth0", Place::Named(NetnsName::new(netns)), UNIX_EPOCH).with_owner(None))
}

fn write(dir: &Path, netns: &str, uid: &str) {
    let eth0 = eth0(netns);
    let file = json!({
        "kind": "cniCacheV1", "containerId": "c", "ifName": "eth0", "networkName": "podnet",
        "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web"], ["K8S_POD_UID", uid]],
        "result": {"cniVersion": "0.4.0", "interfaces": [
            {"name": "eth0", "mac": eth0.mac.unwrap().to_string(), "sandbox": format!("/var/run/netns/{netns}")}]},
    });
    fs::write(dir.join(format!("podnet-{netns}-eth0")), file.to_string()).unwrap();
}

async fn next(tagged: &mut WithOwners<Inner>) -> Event {
    tokio::time::timeout(LIMIT, tagged.next()).await.expect("no event in time").unwrap()
}

fn uid(event: &Event) -> Option<&str> {
    event.interface()?.owner.as_ref()?.pod()?.uid.as_deref()
}

#[tokio::test]
async fn synced_follows_owned_interfaces() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "cni-a", "u1");
    let (sender, inner) = informer();
    sender.send(Incoming::Added(eth0("cni-a"))).unwrap();
    sender.send(Incoming::Synced).unwrap();
    let mut tagged = WithOwners::new(inner, OwnerSources::default().cni_dir(dir.path()).unwrap());
    let added = next(&mut tagged).await;
    assert!(matches!(added, Event::Added(_)));
    assert_eq!(uid(&added), Some("u1"));
    assert_eq!(next(&mut tagged).await, Event::Synced);
}

/// A result without a uid, of a pod that the API server never knows; nothing else happens on the node.
#[tokio::test(start_paused = true)]
async fn stranger_is_disowned_on_a_quiet_node() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "cni-a", "u1");
    write(dir.path(), "cni-b", "u2");
    let file = dir.path().join("podnet-cni-b-eth0");
    let content = fs::read_to_string(&file).unwrap().replace("K8S_POD_UID", "OTHER").replace("web", "stranger");
    fs::write(&file, content).unwrap();
    let (sender, inner) = informer();
    let mut strange = (*eth0("cni-b")).clone();
    strange.id = testing::id(2);
    for event in [Incoming::Added(eth0("cni-a")), Incoming::Added(Arc::new(strange)), Incoming::Synced] {
        sender.send(event).unwrap();
    }
    let web = testing::pod("web");
    let web = Arc::new(Pod { uid: Some("u1".into()), namespace: "shop".into(), ..(*web).clone() });
    let list = stream::iter([PodEvent::Change(PodChange::Listed(vec![record(web)]))]).chain(stream::pending());
    let mut tagged = WithOwners::new(inner, OwnerSources::default().cni_dir(dir.path()).unwrap().pods(list));
    let of_stranger = |event: &Event| event.interface().is_some_and(|interface| interface.id == testing::id(2));
    let mut owned = Vec::new();
    let disowned = async {
        while owned.last() != Some(&false) {
            let event = tagged.next().await.unwrap();
            owned.extend(event.interface().filter(|_| of_stranger(&event)).map(|now| now.owner.is_some()));
        }
    };
    tokio::time::timeout(Duration::from_secs(400), disowned).await.expect("no event after the grace");
    assert_eq!(owned, [true, false]);
}

#[tokio::test]
async fn late_file_updates_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, inner) = informer();
    sender.send(Incoming::Added(eth0("cni-a"))).unwrap();
    let mut tagged = WithOwners::new(inner, OwnerSources::default().cni_dir(dir.path()).unwrap());
    let status = tagged.status();
    assert_eq!(uid(&next(&mut tagged).await), None);
    assert_eq!(status.borrow().tallies.untagged, 1);
    write(dir.path(), "cni-a", "u1");
    let updated = next(&mut tagged).await;
    assert!(matches!(&updated, Event::Updated(_, Changes::OWNER)), "{updated:?}");
    assert_eq!(uid(&updated), Some("u1"));
    assert_eq!((status.borrow().tallies.untagged, status.borrow().tallies.files), (0, 1));
}

#[tokio::test]
async fn silent_api_server_delays_nothing() {
    let (sender, inner) = informer();
    sender.send(Incoming::Added(eth0("cni-a"))).unwrap();
    sender.send(Incoming::Synced).unwrap();
    let mut tagged = WithOwners::new(inner, OwnerSources::default().pods(stream::pending()));
    assert!(matches!(next(&mut tagged).await, Event::Added(_)));
    assert_eq!(next(&mut tagged).await, Event::Synced);
    assert_eq!(tagged.status().borrow().pods_listed, Some(false));
}

/// A live pod without addresses, in the API server's list.
fn record(pod: Arc<Pod>) -> PodRecord {
    PodRecord { uid: "u1".into(), ..testing::pod_record(pod) }
}

#[tokio::test]
async fn pods_are_listed_once_read() {
    let (sender, inner) = informer();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "cni-a", "u1");
    let mut second = (*eth0("cni-a")).clone();
    (second.id, second.ifindex) = (testing::id(2), 2);
    for event in [Incoming::Added(eth0("cni-a")), Incoming::Added(Arc::new(second)), Incoming::Synced] {
        sender.send(event).unwrap();
    }
    let workload = Workload { kind: WorkloadKind::Deployment, name: "web".into() };
    let pod = Arc::new(Pod {
        namespace: "shop".into(),
        name: "web".into(),
        uid: Some("u1".into()),
        workload: Some(workload),
        attributes: Vec::new(),
    });
    let record = record(pod);
    let lists = [vec![record.clone()], vec![record]].map(|list| PodEvent::Change(PodChange::Listed(list)));
    let sources = OwnerSources::default().cni_dir(dir.path()).unwrap();
    let mut tagged = WithOwners::new(inner, sources.pods(stream::iter(lists).chain(stream::pending())));
    let status = tagged.status();
    for _ in 0..3 {
        next(&mut tagged).await;
    }
    for read in [1, 2] {
        assert_eq!(status.borrow().pods_listed, Some(false));
        let updated = next(&mut tagged).await;
        assert!(matches!(updated, Event::Updated(_, Changes::OWNER)), "{read}: {updated:?}");
    }
    assert_eq!(status.borrow().pods_listed, Some(true));
}

#[tokio::test]
async fn unchanged_list_counts_as_listed() {
    let (_sender, inner) = informer();
    let list = stream::iter([PodEvent::Change(PodChange::Listed(Vec::new()))]).chain(stream::pending());
    let mut tagged = WithOwners::new(inner, OwnerSources::default().pods(list));
    until(&mut tagged, |status| status.pods_listed == Some(true)).await;
}

/// A wrong name of the node lists no pod, or another node's pods.
#[tokio::test(start_paused = true)]
async fn pods_of_another_node_are_told() {
    let (sender, inner) = informer();
    sender.send(Incoming::Added(eth0("cni-a"))).unwrap();
    sender.send(Incoming::Synced).unwrap();
    let list = stream::iter([PodEvent::Change(PodChange::Listed(Vec::new()))]).chain(stream::pending());
    let mut tagged = WithOwners::new(inner, OwnerSources::default().pods(list));
    for _ in 0..2 {
        next(&mut tagged).await;
    }
    let start = tokio::time::Instant::now();
    let mut status = tagged.status();
    let limit = Duration::from_secs(60);
    tokio::select! {
        event = tagged.next() => panic!("{event:?}"),
        told = tokio::time::timeout(limit, status.wait_for(|status| status.foreign_pods)) => drop(told.unwrap().unwrap()),
    }
    assert!(start.elapsed() >= Duration::from_secs(30), "a moment between node and API server is not a fault");
}

/// The status once it is as wanted; no event may come before.
async fn until(tagged: &mut WithOwners<Inner>, wanted: impl Fn(&OwnerStatus) -> bool) -> OwnerStatus {
    let mut status = tagged.status();
    tokio::select! {
        event = tagged.next() => panic!("{event:?}"),
        status = tokio::time::timeout(LIMIT, status.wait_for(|status| wanted(status))) => {
            status.expect("not in time").unwrap().clone()
        }
    }
}

#[tokio::test]
async fn source_fault_is_in_the_status() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bad"), "no JSON").unwrap();
    let (sender, inner) = informer();
    let faults = stream::iter([PodEvent::Fault("the API server is away".into())]).chain(stream::pending());
    let sources = OwnerSources::default().cni_dir(dir.path()).unwrap().cni_dir(dir.path().join("absent")).unwrap();
    let mut tagged = WithOwners::new(inner, sources.pods(faults));
    sender.send(Incoming::Synced).unwrap();
    assert_eq!(next(&mut tagged).await, Event::Synced);
    let status = until(&mut tagged, |status| status.pod_fault.is_some()).await;
    assert_eq!((status.tallies.refused_files, status.tallies.pod_faults), (1, 1));
    assert_eq!(status.pod_fault.as_deref(), Some("the API server is away"));
    assert!(status.cache_faults[0].contains("does not exist (yet)"), "{status:?}");
}

#[tokio::test]
async fn it_ends_when_the_informer_does() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, inner) = informer();
    sender.send(Incoming::Added(eth0("cni-a"))).unwrap();
    drop(sender);
    let mut tagged = WithOwners::new(inner, OwnerSources::default().cni_dir(dir.path()).unwrap());
    assert!(matches!(next(&mut tagged).await, Event::Added(_)));
    assert_eq!(tokio::time::timeout(LIMIT, tagged.next()).await, Ok(None));
}

/// A namespace with two names is known by the other than the path of the result. The path is looked at again when the
/// namespace appears: the namespace at the path may have ended, and its inode be used again.
#[tokio::test]
async fn second_name_is_looked_at_again() {
    for (kept, owner) in [(true, Some("u1")), (false, None)] {
        let (dir, spaces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = spaces.path().join("cni-26a5a60e-766c-44c4-8125-5b68aecf097d");
        fs::write(&path, "").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let content = json!({
            "kind": "cniCacheV1", "containerId": "c", "ifName": "eth0", "networkName": "podnet", "netns": path,
            "cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web"], ["K8S_POD_UID", "u1"]],
            "result": {"cniVersion": "1.0.0"},
        });
        fs::write(dir.path().join("podnet-c-eth0"), content.to_string()).unwrap();
        let (sender, inner) = informer();
        let mut tagged = WithOwners::new(inner, OwnerSources::default().cni_dir(dir.path()).unwrap());
        until(&mut tagged, |status| status.tallies.files == 1).await;
        if !kept {
            fs::remove_file(&path).unwrap();
        }
        let mut blue = (*eth0("blue")).clone();
        let file = NsFile { dev: metadata.dev(), inode: metadata.ino() };
        blue.netns = Arc::new((*blue.netns).clone().with_file(file));
        sender.send(Incoming::Added(Arc::new(blue))).unwrap();
        assert_eq!(uid(&next(&mut tagged).await), owner);
    }
}

/// A list that is read once marks a namespace without its pod at the API server.
#[tokio::test]
async fn leaked_namespace_is_marked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "cni-a", "u1");
    write(dir.path(), "cni-b", "u2");
    let (sender, inner) = informer();
    let mut second = (*eth0("cni-b")).clone();
    second.id = testing::id(2);
    for event in [Incoming::Added(eth0("cni-a")), Incoming::Added(Arc::new(second)), Incoming::Synced] {
        sender.send(event).unwrap();
    }
    let pod = Arc::new(Pod { uid: Some("u1".into()), ..(*testing::pod("web")).clone() });
    let pod = Arc::new(Pod { namespace: "shop".into(), ..(*pod).clone() });
    let record = record(pod);
    let list = stream::iter([PodEvent::Change(PodChange::Listed(vec![record]))]).chain(stream::pending());
    let sources = OwnerSources::default().leaks_at_once().cni_dir(dir.path()).unwrap().pods(list);
    let mut tagged = WithOwners::new(inner, sources);
    for _ in 0..3 {
        next(&mut tagged).await;
    }
    let updated = next(&mut tagged).await;
    assert_eq!(uid(&updated), Some("u2"), "{updated:?}");
    let owner = updated.interface().unwrap().owner.clone().unwrap();
    assert!(matches!(&*owner, Owner::Pod(owner) if owner.leaked), "{owner:?}");
}
