use super::*;
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
