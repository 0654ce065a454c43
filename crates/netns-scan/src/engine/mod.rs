//! Engines that reach into other namespaces, behind one trait.

pub(crate) mod learned;
pub(crate) mod netns_thread;
mod nsid;
mod setns;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use iface_core::{CounterDetails, Counters, NetnsId, NsFile};

use self::learned::{Learned, ListError};
pub(crate) use self::nsid::NsidEngine;
pub(crate) use self::setns::SetnsEngine;
use crate::netlink::socket::RequestError;
use crate::state::{Counted, State};
use crate::{EngineChoice, EngineKind, Error};

/// Namespaces in, findings about their links and addresses out.
///
/// Nothing here waits: the kernel replies inside the call. `known` is the state with every earlier
/// finding applied.
pub(crate) trait Engine: Send {
    /// Readable when [`read`](Self::read) has something to receive.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Follows namespaces and lists their links.
    fn open(&mut self, wanted: Vec<Wanted>, known: &State) -> Opened;

    /// Follows namespaces without a name by their nsids and lists their links; returns the
    /// namespaces that failed as well, usually as they are being destroyed.
    fn open_unnamed(&mut self, _wanted: Vec<(NetnsId, i32)>, _known: &State) -> (Learned, Vec<(NetnsId, ListError)>) {
        (Learned::default(), Vec::new())
    }

    /// Returns whether a followed namespace has this nsid.
    fn follows(&self, _nsid: i32) -> bool {
        false
    }

    /// Compares the nsids with the kernel's list, without a notification.
    fn look_for_unnamed(&mut self) -> Learned {
        Learned::default()
    }

    /// Closes a namespace; returns the nsid that belongs to the namespace as long as it lives.
    fn close(&mut self, id: NetnsId) -> Option<i32>;

    /// Receives some notifications. [`fd`](Self::fd) stays readable while others are queued.
    fn read(&mut self, known: &State) -> Learned;

    /// Receives every queued notification that may be about a namespace.
    fn read_all(&mut self, id: NetnsId, known: &State) -> Learned;

    /// Looks for peers whose namespace no message tells, once the findings about both ends are applied;
    /// `None` where no peer is missing.
    fn place_peers(&mut self, _known: &State) -> Option<Learned> {
        None
    }

    /// Returns whether the path still leads to the namespace followed under this identity.
    fn is_same(&mut self, wanted: &Wanted) -> bool;

    /// Sets another path of a followed namespace, after the removal of the followed name.
    fn rename(&mut self, _wanted: &Wanted) {}

    /// Followed namespaces without notifications, to be listed several times a second.
    fn unnotified(&self) -> Vec<NetnsId> {
        Vec::new()
    }

    /// Namespaces with lost notifications, until the next dump.
    fn needs_resync(&self) -> &BTreeSet<NetnsId>;

    /// Dumps a namespace again.
    fn list(&mut self, id: NetnsId, known: &State) -> (Learned, Result<(), ListError>);

    /// Requests the peer of a link without a peer in its first notification.
    fn complete_pair(&mut self, id: NetnsId, ifindex: u32, known: &State) -> Learned;

    /// Reads the last counters of the links of a namespace whose name is gone, before [`close`](Self::close):
    /// from the namespace as long as it lives, else from the peers of its links.
    fn read_last(&mut self, id: NetnsId, counted: Counted, known: &State) -> Learned;

    /// Reads the counters of a namespace's links by ifindex, without those whose ifindex may have become
    /// another link's meanwhile, given the findings. A deleted namespace is not an error: the result is empty.
    /// The other counters are added to `details`, also those of links without a row.
    fn read_counters(
        &mut self,
        id: NetnsId,
        known: &State,
        details: Option<&mut Vec<(u32, CounterDetails)>>,
    ) -> (Learned, Vec<(u32, Counters)>);
}

/// Result of [`Engine::open`].
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) learned: Learned,
    /// Namespaces that cannot be followed.
    pub(crate) failed: Vec<(Wanted, ListError)>,
    /// Namespaces that are followed without a name already, each with the identity of then. From now on
    /// the namespace counts as one with a name.
    pub(crate) known: Vec<(NetnsId, NetnsId)>,
}

/// A namespace to follow, with its name.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: NetnsId,
    pub(crate) file: NsFile,
    pub(crate) path: PathBuf,
    /// Whether the name is a mount, and so keeps the namespace alive; else a symbolic link.
    pub(crate) is_mounted: bool,
}

/// Interrupted dumps of a namespace in a row before another namespace gets its turn.
const ATTEMPTS: usize = 8;

/// Time of a namespace's interrupted dumps before another namespace gets its turn. A dump of thousands
/// of addresses takes longer, and is tried once a turn.
const ATTEMPTS_TIME: Duration = Duration::from_millis(20);

/// Attempts until nothing interrupts, as long as the turn lasts.
fn uninterrupted(mut attempt: impl FnMut() -> Result<(), ListError>) -> Result<(), ListError> {
    let start = Instant::now();
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(ListError::Interrupted(_)) if start.elapsed() < ATTEMPTS_TIME => {}
            result => return result,
        }
    }
    attempt()
}

/// Datagrams that a receive buffer of a number of bytes holds at most: Linux doubles the buffer, and
/// accounts more than this for the smallest datagram.
fn most_queued(receive_buffer: usize) -> usize {
    const SMALLEST: usize = 512;
    (receive_buffer.saturating_mul(2) / SMALLEST).max(TURN)
}

/// Datagrams read from one socket before other work.
const TURN: usize = 256;

/// An engine, its kind, and the reason for the choice.
pub(crate) struct Chosen {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) kind: EngineKind,
    pub(crate) reason: String,
    /// Findings about the host's namespace.
    pub(crate) learned: Learned,
}

/// Properties of the sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sockets {
    /// Join multicast groups; a poller does not.
    pub(crate) notified: bool,
    /// Look for namespaces without a name.
    pub(crate) find_unnamed: bool,
    /// Bytes.
    pub(crate) receive_buffer: usize,
}

/// Takes the engine asked for, or the best there is, with the host's namespace listed.
pub(crate) fn choose(choice: EngineChoice, sockets: Sockets, known: &State) -> Result<Chosen, Error> {
    let why_not_nsid = match choice {
        EngineChoice::Setns => "setns was asked for".to_owned(),
        EngineChoice::Auto | EngineChoice::Nsid => match NsidEngine::new(sockets, known) {
            Ok((engine, learned)) => {
                let reason = "nsid: one socket for all notifications, nothing is entered or kept open".to_owned();
                return Ok(Chosen { engine: Box::new(engine), kind: EngineKind::Nsid, reason, learned });
            }
            Err(Unusable { why, .. }) if choice == EngineChoice::Auto => why,
            Err(Unusable { why, source }) => return Err(Error::Engine { engine: "nsid", why, source }),
        },
    };
    let (engine, learned) = SetnsEngine::new(sockets, known).map_err(|source| Error::Engine {
        engine: "setns",
        why: "cannot list the own namespace".into(),
        source,
    })?;
    let engine = Box::new(engine);
    if netns_thread::is_allowed() {
        let reason = format!("setns: each namespace is entered once for a socket of its own ({why_not_nsid})");
        return Ok(Chosen { engine, kind: EngineKind::Setns, reason, learned });
    }
    let needs = "entering namespaces needs CAP_SYS_ADMIN";
    if choice == EngineChoice::Setns {
        let source = io::ErrorKind::PermissionDenied.into();
        return Err(Error::Engine { engine: "setns", why: needs.into(), source });
    }
    let reason = format!(
        "only the own namespace can be seen: {why_not_nsid}, and {needs}; \
         add NET_ADMIN and NET_BROADCAST (best) or SYS_ADMIN, or run as root"
    );
    Ok(Chosen { engine, kind: EngineKind::Own, reason, learned })
}

/// Reason that an engine does not work on this host.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// Missing privilege or kernel feature.
    pub(crate) why: String,
    /// Error of the kernel.
    pub(crate) source: io::Error,
}

impl From<RequestError> for io::Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Failed(error) => error,
            RequestError::Incomplete(cause) => Self::new(io::ErrorKind::Interrupted, cause),
            RequestError::CutShort => Self::other(ListError::CutShort),
        }
    }
}
