use std::future::poll_fn;
use std::os::unix::fs::symlink;
use std::time::UNIX_EPOCH;

use iface_core::{NetnsName, Place};
use tokio::time::timeout;

use super::*;
use crate::interface::{Event, Pod};
use crate::owner::cni::file::space_at;
use crate::owner::pod::PodChange;
use crate::testing;

const UID: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// Longer than any pause.
const LONG: Duration = Duration::from_secs(60);

struct Scene {
    proc: tempfile::TempDir,
    tagger: Tagger,
    looks: Looks,
}

impl Scene {
    fn new(once: bool) -> Self {
        let proc = tempfile::tempdir().unwrap();
        let mut looks = Looks::new(proc.path().into(), once);
        looks.listed();
        let mut tagger = Tagger::default();
        tagger.event(Event::Synced);
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        let pod = Arc::new(Pod { namespace, name, uid: Some(UID.into()), workload: None, attributes: Vec::new() });
        tagger.pod(PodChange::Applied(testing::pod_record(pod)));
        Self { proc, tagger, looks }
    }

    /// A namespace with a process of the pod.
    fn add(&mut self, number: u32, place: Place) {
        let process = self.proc.path().join(number.to_string());
        std::fs::create_dir_all(process.join("ns")).unwrap();
        std::fs::write(process.join("netns"), "").unwrap();
        symlink(process.join("netns"), process.join("ns/net")).unwrap();
        std::fs::write(process.join("cgroup"), format!("0::/kubepods/pod{UID}/c\n")).unwrap();
        let mut interface = testing::interface(number.into(), "eth0", place.clone(), UNIX_EPOCH);
        let file = space_at(&process.join("netns")).unwrap();
        interface.netns = Arc::new(iface_core::Netns::new(NetnsId(number.into()), place).with_file(file));
        self.tagger.event(Event::Added(Arc::new(interface)));
    }

    /// The time until evidence comes, and the pods.
    async fn evidence(&mut self) -> Option<(Duration, Vec<Option<Arc<str>>>)> {
        let start = Instant::now();
        let inside = timeout(LONG, poll_fn(|cx| self.looks.poll(cx, &self.tagger))).await.ok()?;
        Some((start.elapsed(), inside.into_iter().map(|one| one.pod).collect()))
    }
}

fn named(number: u32) -> Place {
    Place::Named(NetnsName::new(format!("ns-{number}")))
}

fn is_about(elapsed: Duration, expected: Duration) -> bool {
    elapsed >= expected && elapsed < expected + Duration::from_millis(500)
}

/// Without a namespace to look for, no process is read.
#[tokio::test(start_paused = true)]
async fn nothing_sought_is_no_look() {
    let mut scene = Scene::new(false);
    assert_eq!(scene.evidence().await, None);
    assert!(scene.looks.considered && scene.looks.looked.is_none());
}

/// A new namespace is looked for at once, the same again after the period.
#[tokio::test(start_paused = true)]
async fn looks_have_pauses() {
    let mut scene = Scene::new(false);
    assert_eq!(scene.evidence().await, None);
    scene.add(1, named(1));
    let (elapsed, pods) = scene.evidence().await.unwrap();
    assert!(is_about(elapsed, SETTLING + LASTS_NAMED), "{elapsed:?}");
    assert_eq!(pods, [Some(UID.into())]);
    let (elapsed, _) = scene.evidence().await.unwrap();
    assert!(is_about(elapsed, PERIOD), "{elapsed:?}");
    // The end of a namespace without a name takes longer to be known.
    scene.add(2, Place::Inode(2));
    let (elapsed, pods) = scene.evidence().await.unwrap();
    assert!(is_about(elapsed, SETTLING + LASTS_NAMED) && pods == [None], "{elapsed:?} {pods:?}");
    let (elapsed, pods) = scene.evidence().await.unwrap();
    assert!(is_about(elapsed, LASTS_UNNAMED - LASTS_NAMED) && pods == [None], "{elapsed:?} {pods:?}");
}

/// New namespaces with a pod neither cause a look nor delay the look at the others.
#[tokio::test(start_paused = true)]
async fn churn_of_known_pods_changes_nothing() {
    let mut scene = Scene::new(false);
    scene.add(1, named(1));
    scene.evidence().await.unwrap();
    let start = Instant::now();
    let mut number = 10;
    loop {
        // Beside the first without a file, as if known.
        number += 1;
        scene.tagger.event(Event::Added(Arc::new({
            let mut one = testing::interface(number, "eth0", named(number as u32), UNIX_EPOCH);
            one.netns = Arc::new(iface_core::Netns::new(NetnsId(number), named(number as u32)));
            one
        })));
        let next = timeout(Duration::from_secs(2), poll_fn(|cx| scene.looks.poll(cx, &scene.tagger))).await;
        if next.is_ok() {
            break;
        }
        assert!(start.elapsed() < LONG, "the look never came");
    }
    assert!(start.elapsed() >= PERIOD - LASTS_NAMED, "{:?}", start.elapsed());
}

/// An expensive look is followed by fifty times its processor time without a look.
#[tokio::test(start_paused = true)]
async fn expensive_looks_are_rarer() {
    let mut scene = Scene::new(false);
    scene.add(1, named(1));
    scene.evidence().await.unwrap();
    scene.looks.earliest = Instant::now() + LONG / 2;
    scene.add(2, named(2));
    let (elapsed, _) = scene.evidence().await.unwrap();
    assert!(is_about(elapsed, LONG / 2 + LASTS_NAMED), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn one_list_looks_at_once() {
    let mut scene = Scene::new(true);
    scene.add(1, Place::Inode(1));
    let status = watch::Sender::new(OwnerStatus { awaits_processes: true, ..OwnerStatus::default() });
    let start = Instant::now();
    let take =
        poll_fn(|cx| if scene.looks.take(cx, &mut scene.tagger, &status) { Poll::Ready(()) } else { Poll::Pending });
    timeout(LONG, take).await.unwrap();
    assert!(start.elapsed() < SETTLING && status.borrow().awaits_processes, "{:?}", start.elapsed());
    assert_eq!(scene.tagger.untagged(), 0);
    // The events have been read when the next input is asked for.
    assert!(!poll_fn(|cx| Poll::Ready(scene.looks.take(cx, &mut scene.tagger, &status))).await);
    assert!(!status.borrow().awaits_processes);
}
