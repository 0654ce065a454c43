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

fn added_event(interface: &Arc<Interface>) -> Event {
    Event::Added(interface.clone())
}
