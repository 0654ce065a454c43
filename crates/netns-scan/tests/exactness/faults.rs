use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use netns_scan::{EngineChoice, EngineKind, Poller, Status, WatchOptions, Watcher};
use netns_testbed::{NetnsDir, Observer, Test, tests};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::subject::{EXACT, Subject, add_all};

pub(crate) fn tests() -> impl Iterator<Item = Test> {
    let each = tests![Subject::ALL;
        a_thousand_namespaces_need_1024_fds,
        namespaces_beyond_the_fd_limit_are_named,
        faults_are_a_stream,
    ];
    let once = tests![without_privileges_the_reason_is_told, an_unusable_engine_is_an_error,];
    each.chain(once).map(|test| test.limit(Duration::from_secs(120)))
}

fn limit_fds(soft: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard).unwrap();
}

/// A thousand namespaces are found with a limit of 1,024 open files.
fn a_thousand_namespaces_need_1024_fds(subject: Subject) {
    limit_fds(1_024);
    let pods = add_all(&NetnsDir::standard(), "pod", 1_000);
    let mut observer = subject.synced();
    observer.until("all are found", EXACT, |replay| replay.interfaces().count() == 1_001);
    assert_eq!(observer.informer().handle().status().faults, []);
    drop(pods);
    observer.until("all are gone", Duration::from_secs(3), |replay| replay.interfaces().count() == 1);
}

/// Each namespace that the limit on open files hides is a fault, and found with a higher limit.
fn namespaces_beyond_the_fd_limit_are_named(subject: Subject) {
    let pods = add_all(&NetnsDir::standard(), "pod", 300);
    limit_fds(100);
    let mut observer = subject.start();
    let handle = observer.informer().handle();
    let start = std::time::Instant::now();
    while !handle.status().synced {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", handle.status());
        std::thread::yield_now();
    }
    observer.synced();
    let status = handle.status();
    let found = observer.replay().interfaces().count() - 1;
    assert_eq!(found + status.faults.len(), pods.len(), "each is found or named");
    if subject == Subject::Watcher(EngineChoice::Setns) {
        assert!(!status.faults.is_empty(), "a socket in each of 300 namespaces is more than 100 fds");
    }
    for fault in &status.faults {
        assert!(pods.iter().any(|pod| pod.path() == fault.subject), "{fault:?}");
        assert!(fault.error.contains("open files"), "{fault:?}");
    }
    limit_fds(1_024);
    observer.until("all are found", Duration::from_secs(5), |replay| replay.interfaces().count() == 301);
    assert_eq!(handle.status().faults, []);
}

/// In a user namespace that owns no network namespace, nothing is allowed.
fn give_up_privileges() {
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
}

/// Without privileges, only the own namespace is seen, and the status has the reason.
fn without_privileges_the_reason_is_told() {
    let _pod = NetnsDir::standard().add("pod");
    give_up_privileges();
    let settings = WatchOptions { dirs: vec!["/run/netns".into()], find_mounted: false, ..WatchOptions::default() };
    let mut observer = Observer::new(Watcher::start(settings).unwrap());
    observer.synced();
    let status = observer.informer().handle().status();
    assert_eq!(status.engine, EngineKind::Own);
    assert!(status.reason.contains("NET_ADMIN"), "{}", status.reason);
    assert_eq!(observer.replay().interfaces().count(), 1);
    assert_eq!(status.faults.len(), 1, "what cannot be seen is named: {:?}", status.faults);
}

/// An engine that is selected by name and cannot work is an error.
fn an_unusable_engine_is_an_error() {
    give_up_privileges();
    for engine in [EngineChoice::Nsid, EngineChoice::Setns] {
        let settings = WatchOptions { engine, ..WatchOptions::default() };
        let error = Watcher::start(settings.clone()).unwrap_err();
        assert!(error.is_permission_denied(), "{error}");
        assert!(Poller::start(settings, Duration::from_secs(1)).unwrap_err().is_permission_denied());
    }
}

/// A fault reaches the readers of the status without polling, and so does its end.
fn faults_are_a_stream(subject: Subject) {
    let dir = NetnsDir::standard();
    let observer = subject.start();
    let handle = observer.informer().handle();
    let mut streams = [handle.status_changes(), handle.status_changes()];
    let mut each = |what: &str, met: fn(&Status) -> bool| {
        for stream in &mut streams {
            let next = async { pin!(stream.filter(|status| std::future::ready(met(status)))).next().await };
            assert!(observer.wait(what, Duration::from_secs(10), next).is_some(), "the stream ended before {what}");
        }
    };
    each("the first scan", |status| status.synced && status.faults.is_empty());
    let odd = dir.alias("odd", "/proc/self/ns/uts".as_ref());
    each("the fault", |status| status.faults.len() == 1);
    drop(odd);
    each("the end of the fault", |status| status.faults.is_empty());
    let runtime = Observer::new(futures_util::stream::empty::<iface_core::Event>());
    drop(observer);
    for mut stream in streams {
        runtime.wait("the end", EXACT, async { while stream.next().await.is_some() {} });
    }
}
