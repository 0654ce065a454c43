//! Pods with a short life and a known number of datagrams.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use netns_testbed::{LinkChange, NetnsDir, QuietVeth, Rtnl, write_cni_result};

/// Pods at a time.
const AT_A_TIME: usize = 10;

/// Turns of sending in a life; the last one immediately precedes the end.
const TURNS: u32 = 5;

/// End of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `ip netns del`, without a word from a CNI plugin.
    Namespace,
    /// A CNI plugin deletes the end inside.
    Inside,
    /// A CNI plugin deletes the end of the host.
    Outside,
}

/// A pod to be lived: its number decides about everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    number: u16,
    of: u16,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, lived {:?})", self.name(), self.end(), self.length())
    }
}

impl Life {
    fn name(self) -> String {
        format!("short-{}", self.number)
    }

    pub(crate) fn uid(self) -> String {
        format!("uid-of-{}", self.name())
    }

    pub(crate) fn end(self) -> End {
        [End::Namespace, End::Inside, End::Outside][usize::from(self.number % 3)]
    }

    /// From 50 ms to 3 s, short and long mixed.
    fn length(self) -> Duration {
        let mixed = u32::from(self.number) * 7919 % u32::from(self.of);
        Duration::from_millis(50) + Duration::from_millis(2950) * mixed / u32::from(self.of).max(2)
    }

    /// Datagrams received and transmitted in each turn.
    fn each(self) -> (u64, u64) {
        (1 + u64::from(self.number % 7), 1 + u64::from(self.number % 5))
    }

    /// Datagrams received and transmitted in the whole life.
    pub(crate) fn datagrams(self) -> (u64, u64) {
        let (received, transmitted) = self.each();
        (received * u64::from(TURNS), transmitted * u64::from(TURNS))
    }

    fn live(self, dir: &NetnsDir, results: &Path, gate: &Gate) {
        let name = self.name();
        let begins = gate.read().unwrap();
        let netns = dir.add(&name);
        let host = format!("host{}", self.number);
        let veth = QuietVeth::up(&host, &netns, "eth0", self.number + 256);
        let [high, low] = (self.number + 256).to_be_bytes();
        let mac = [0x0a, 0x58, 10, high, low, 2];
        netns.rtnl().set("eth0", LinkChange::Mac(mac));
        let address = format!("10.{high}.{low}.2/24");
        let result = write_cni_result(results, &name, &netns, &host, mac, &address);
        drop(begins);
        let (received, transmitted) = self.each();
        for _ in 0..TURNS {
            #[expect(clippy::disallowed_methods, reason = "the length of the life is the condition of the test")]
            thread::sleep(self.length() / TURNS);
            veth.send_in(received);
            veth.send_out(&netns, transmitted);
        }
        let _ends = gate.read().unwrap();
        match self.end() {
            End::Namespace => {}
            End::Inside => netns.rtnl().delete("eth0"),
            End::Outside => Rtnl::new().delete(&host),
        }
        veth.pair.leave();
        netns.delete();
        let removed = fs::remove_file(&result);
        removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", result.display()));
    }
}

/// This number of pods, ended in equal parts by each [`End`].
pub(crate) fn lives(of: u16) -> impl Iterator<Item = Life> {
    (0..of).map(move |number| Life { number, of })
}

/// While it is closed, that is written, no pod begins or ends; living pods go on to send.
pub(crate) type Gate = RwLock<()>;

/// Lives all these pods, some at a time; `half` runs once half of them have ended.
pub(crate) fn live_all(of: u16, results: &Path, half: impl FnOnce(&Gate) + Send) {
    let gate = Gate::default();
    let dir = NetnsDir::standard();
    let lives: Vec<Life> = lives(of).collect();
    let (next, half_at) = (AtomicUsize::new(0), lives.len() / 2);
    let (reached, waits) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            let reached = reached.clone();
            let (dir, next, lives, gate) = (&dir, &next, &lives, &gate);
            scope.spawn(move || {
                while let Some(life) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    life.live(dir, results, gate);
                    if next.load(Ordering::Relaxed) >= half_at {
                        let _ = reached.send(());
                    }
                }
            });
        }
        drop(reached);
        let _ = waits.recv();
        half(&gate);
    });
}
