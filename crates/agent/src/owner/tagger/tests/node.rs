use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::owner::leaks::Leaks;
use crate::owner::tagger::node::SameNode;

#[test]
fn known_pod_proves_the_node() {
    let mut tagger = Tagger::default();
    assert_eq!(tagger.same_node(), SameNode::Unknown);
    let netns = netns(1, "cni-a");
    let web = pod("web", Some("u1"));
    tagger.event(Event::Added(interface(1, &netns, "eth0", 1, "10.0.0.1/24")));
    tagger.event(Event::Synced);
    assert_eq!(tagger.same_node(), SameNode::No, "namespaces, and no pod at all");
    tagger.pod(PodChange::Listed(vec![record("other", "u2", "10.0.0.2")]));
    assert_eq!(tagger.same_node(), SameNode::Unknown, "the namespace need not be a pod's");
    tagger.file(&Path::new("/a").into(), file("cni-a", &web, 1, "podnet"));
    assert_eq!(tagger.same_node(), SameNode::No, "another node's pods");
    tagger.pod(PodChange::Applied(record("web", "u1", "10.0.0.1")));
    assert_eq!(tagger.same_node(), SameNode::Yes);
}

/// A namespace is told once, when the API server has not known its pod for five minutes.
#[tokio::test(start_paused = true)]
async fn orphan_is_told_after_grace() {
    let (mut tagger, mut leaks) = (Tagger::default(), Leaks::default());
    for (id, uid) in [(1, "u1"), (2, "u2")] {
        let name = format!("cni-{id}");
        tagger.event(added_event(&interface(id, &netns(id, &name), "eth0", id as u8, "")));
        tagger.file(&Path::new(&name).into(), file(&name, &pod("web", Some(uid)), id as u8, "podnet"));
    }
    tagger.event(Event::Synced);
    tagger.pod(PodChange::Listed(["u1", "u2"].map(|uid| record("web", uid, "10.0.0.1")).into()));
    leaks.listed();
    let first = poll_fn(|cx| leaks.poll(cx, &tagger)).await;
    assert_eq!((first.new.len(), first.all.len()), (0, 0));
    tagger.pod(PodChange::Deleted("u1".into()));
    let deleted = Instant::now();
    let leaked = timeout(Duration::from_secs(3600), async {
        loop {
            let found = poll_fn(|cx| leaks.poll(cx, &tagger)).await;
            if !found.all.is_empty() {
                return found;
            }
        }
    });
    let leaked = leaked.await.unwrap();
    assert!(deleted.elapsed() >= Duration::from_secs(300), "{:?}", deleted.elapsed());
    let [id] = leaked.new.as_slice() else { panic!("{leaked:?}") };
    let mut reader = super::Reader::default();
    reader.read(&mut tagger);
    tagger.mark_leaked(leaked.all.clone());
    reader.read(&mut tagger);
    let is_leaked = |reader: &super::Reader, id: u64| {
        let one = reader.0.values().find(|one| one.id.0.get() == id).unwrap();
        matches!(one.owner.as_deref(), Some(super::Owner::Pod(owner)) if owner.leaked)
    };
    assert!(is_leaked(&reader, 1) && !is_leaked(&reader, 2));
    let (netns, owner) = tagger.named_pod(*id).unwrap();
    assert_eq!((netns.place.to_string().as_str(), owner.uid.as_deref()), ("cni-1", Some("u1")));
    let again = poll_fn(|cx| leaks.poll(cx, &tagger)).await;
    assert_eq!((again.new.len(), again.all.len()), (0, 1), "told once, counted on");
}

/// A tagger whose only namespace has a CNI result, and the pods of a complete list.
fn listed(uid: Option<&str>, pods: &[PodRecord]) -> (Tagger, Leaks) {
    let (mut tagger, mut leaks) = (Tagger::default(), Leaks::default());
    tagger.event(added_event(&interface(1, &netns(1, "cni-1"), "eth0", 1, "")));
    tagger.file(&Path::new("f").into(), file("cni-1", &pod("box", uid), 1, "podman"));
    tagger.event(added_event(&interface(2, &netns(2, "cni-2"), "eth0", 2, "")));
    tagger.file(&Path::new("g").into(), file("cni-2", &pod("web", Some("u2")), 2, "podnet"));
    tagger.event(Event::Synced);
    let web = record("web", "u2", "10.0.0.2");
    tagger.pod(PodChange::Listed(pods.iter().cloned().chain([web]).collect()));
    leaks.listed();
    (tagger, leaks)
}

/// Time until the namespace is a stranger's, and until it is leaked; not later than an hour.
async fn verdicts(tagger: &mut Tagger, leaks: &mut Leaks) -> (Option<Duration>, Option<Duration>) {
    let start = Instant::now();
    let (mut strange, mut leaked) = (None, None);
    while start.elapsed() < Duration::from_secs(3600) {
        let found = poll_fn(|cx| leaks.poll(cx, tagger)).await;
        if !found.strangers.is_empty() {
            strange.get_or_insert(start.elapsed());
        }
        if !found.all.is_empty() {
            leaked.get_or_insert(start.elapsed());
        }
        tagger.disown(found.strangers);
    }
    (strange, leaked)
}

const GRACE: Duration = Duration::from_secs(300);

/// A pod that was known, or has a uid, has left its namespace over; a name that the API server never knew is a
/// stranger's.
#[tokio::test(start_paused = true)]
async fn unknown_pod_without_uid_is_disowned() {
    let owner_of = |tagger: &Tagger| tagger.named_pod(NetnsId(1)).map(|(_, pod)| pod.name.clone());
    let (mut tagger, mut leaks) = listed(Some("u1"), &[]);
    assert_eq!(verdicts(&mut tagger, &mut leaks).await, (None, Some(GRACE)), "with a uid");
    let (mut tagger, mut leaks) = listed(None, &[record("box", "u1", "10.0.0.1")]);
    tagger.pod(PodChange::Deleted("u1".into()));
    assert_eq!(verdicts(&mut tagger, &mut leaks).await, (None, Some(GRACE)), "known before");
    let (mut tagger, mut leaks) = listed(None, &[]);
    assert_eq!(owner_of(&tagger).as_deref(), Some("box"), "not before the grace");
    assert_eq!(verdicts(&mut tagger, &mut leaks).await, (Some(GRACE), None));
    assert_eq!(owner_of(&tagger), None);
    // A container of the same name is the same stranger.
    tagger.event(added_event(&interface(3, &netns(3, "cni-3"), "eth0", 3, "")));
    tagger.file(&Path::new("h").into(), file("cni-3", &pod("box", None), 3, "podman"));
    assert_eq!(tagger.named_pod(NetnsId(3)), None);
    tagger.pod(PodChange::Applied(record("box", "u9", "10.0.0.9")));
    assert_eq!(owner_of(&tagger).as_deref(), Some("box"), "the API server knows the pod after all");
    assert!(tagger.named_pod(NetnsId(3)).is_some());
}

/// While the API server does not answer, a new pod cannot be known: the grace begins anew.
#[tokio::test(start_paused = true)]
async fn outage_proves_nothing() {
    let (mut tagger, mut leaks) = listed(None, &[]);
    assert_eq!(poll_fn(|cx| leaks.poll(cx, &tagger)).await.strangers, BTreeSet::new());
    tokio::time::advance(GRACE / 2).await;
    leaks.failed();
    assert_eq!(verdicts(&mut tagger, &mut leaks).await, (None, None));
    leaks.answered();
    let (strange, _) = verdicts(&mut tagger, &mut leaks).await;
    assert!(strange.unwrap() >= GRACE, "{strange:?}");
}

/// A file with a uid about the namespace of a stranger decides, and a container's record counts.
#[tokio::test(start_paused = true)]
async fn other_evidence_outlasts_a_stranger() {
    let (mut tagger, _) = listed(None, &[]);
    tagger.disown([NetnsId(1)].into());
    assert_eq!(tagger.named_pod(NetnsId(1)), None);
    give(&mut tagger, containers::named("cni-1", "cni-1"));
    let mut reader = super::Reader::default();
    reader.read(&mut tagger);
    let container = |reader: &super::Reader| {
        let owner = reader.0.values().find(|one| one.id.0.get() == 1).unwrap().owner.clone();
        owner.is_some_and(|owner| owner.container().is_some())
    };
    assert!(container(&reader));
    tagger.file(&Path::new("h").into(), file("cni-1", &pod("web", Some("u7")), 1, "podnet"));
    reader.read(&mut tagger);
    assert!(!container(&reader));
    let (_, owner) = tagger.named_pod(NetnsId(1)).unwrap();
    assert_eq!((owner.uid.as_deref(), tagger.conflicts().total()), (Some("u7"), 0));
}

fn added_event(interface: &Arc<Interface>) -> Event {
    Event::Added(interface.clone())
}
