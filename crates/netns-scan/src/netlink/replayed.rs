//! Sockets that replay what a kernel has sent: for tests of the engines without a kernel.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard};

use iface_core::Event;
use nix::sys::eventfd::EventFd;

use crate::engine::learned::Learned;
use crate::netlink::message::{Body, Request};
use crate::netlink::recvmsg::Datagram;
use crate::netlink::socket::{Incoming, Incomplete, Received, Reply, RequestError, Route};
use crate::state::State;

/// A pod appears, gets an address and another MTU, and ends; made by `recorded/record.py`.
const RECORDED: &str = include_str!("recorded/pod.txt");

/// A request, as sent, with the datagrams of its reply.
type Replied = (Vec<u8>, Vec<Vec<u8>>);

/// Messages that a socket has queued, and its replies.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) replies: Vec<Replied>,
    /// The nsid of any namespace that is asked for.
    pub(crate) nsid: i32,
}

#[derive(Debug)]
pub(crate) enum Queued {
    /// A notification with the nsid of its namespace.
    Notified(Option<i32>, Vec<u8>),
    Overrun,
    Truncated(Option<i32>),
}

/// A socket over a kernel that the test shares.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    kernel: Arc<Mutex<Kernel>>,
    event: Arc<EventFd>,
}

impl Replayed {
    pub(crate) fn new() -> Self {
        Self { kernel: Arc::default(), event: Arc::new(EventFd::new().unwrap()) }
    }

    pub(crate) fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap()
    }

    /// Queues the notifications of a section, as the sockets of one side received them.
    pub(crate) fn notify(&self, side: &str, section: &str) {
        self.kernel().queue.extend(lines(side, section).filter_map(|words| match words[..] {
            ["notified", place, bytes] => Some(Queued::Notified(nsid(place), unhex(bytes))),
            _ => None,
        }));
    }

    /// Replies from now on as at the end of a section.
    pub(crate) fn reply_as(&self, side: &str, section: &str) {
        let mut replies: Vec<Replied> = Vec::new();
        for words in lines(side, section) {
            match words[..] {
                ["asked", "links", place] => replies.push(asked(Request::list_links(nsid(place)))),
                ["asked", "addresses", place] => replies.push(asked(Request::list_addresses(nsid(place)))),
                ["asked", "link", place, ifindex] => {
                    replies.push(asked(Request::get_link(nsid(place), ifindex.parse().unwrap())));
                }
                ["replied", bytes] => replies.last_mut().unwrap().1.push(unhex(bytes)),
                ["notified", ..] => {}
                _ => panic!("{words:?}"),
            }
        }
        self.kernel().replies = replies;
    }
}

impl AsFd for Replayed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Route for Replayed {
    fn set_receive_buffer(&self, _bytes: usize) -> io::Result<()> {
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let datagram = |nsid, len| Datagram { len, truncated: false, from_kernel: true, multicast: true, nsid };
        Ok(match self.kernel().queue.pop_front() {
            None => Received::Nothing,
            Some(Queued::Overrun) => Received::Overrun,
            Some(Queued::Truncated(nsid)) => Received::Truncated(datagram(nsid, 0)),
            Some(Queued::Notified(nsid, bytes)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Received::Datagram(datagram(nsid, bytes.len()))
            }
        })
    }

    /// Queued messages come before the reply.
    fn ask(
        &mut self,
        request: Request,
        _buffer: &mut [u8],
        mut take: impl FnMut(Incoming<'_>),
    ) -> Result<(), RequestError> {
        let mut kernel = self.kernel();
        let mut reply = Reply::RECORDED;
        for queued in std::mem::take(&mut kernel.queue) {
            match queued {
                Queued::Notified(_, bytes) => _ = reply.receive(&bytes, true, &mut take)?,
                Queued::Overrun | Queued::Truncated(_) => take(Incoming::Overrun),
            }
        }
        let (asked, _) = asked(request);
        // `RTM_GETNSID`: the file descriptor in the request is of this run.
        if asked[4..6] == libc::RTM_GETNSID.to_ne_bytes() {
            take(Incoming::Reply(Body::NewNsid(kernel.nsid)));
            return Ok(());
        }
        let known = kernel.replies.iter().find(|(known, _)| *known == asked);
        let (_, datagrams) = known.unwrap_or_else(|| panic!("{asked:?} is not recorded"));
        for datagram in datagrams {
            if reply.receive(datagram, false, &mut take)? {
                return Ok(());
            }
        }
        Err(RequestError::Incomplete(Incomplete::NoRoom))
    }
}

/// The words of a section's lines about one side.
fn lines(side: &str, section: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = RECORDED.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let section = section.to_owned();
    let after = lines.skip_while(move |words| *words != ["section", &section]).skip(1);
    let side = side.to_owned();
    after
        .take_while(|words| words[0] != "section")
        .filter(move |words| words[0] == side)
        .map(|words| words[1..].to_vec())
}

fn nsid(place: &str) -> Option<i32> {
    (place != "own").then(|| place.parse().unwrap())
}

fn asked(mut request: Request) -> Replied {
    (request.bytes(Reply::RECORDED.seq).to_vec(), Vec::new())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Applies the findings; returns the rest.
pub(crate) fn apply(state: &mut State, mut learned: Learned) -> Learned {
    std::mem::take(&mut learned.findings).into_iter().for_each(|finding| state.learn(finding));
    learned
}

/// The events since the last call, as words.
pub(crate) fn events(state: &mut State) -> Vec<String> {
    let mut events = state.take_events();
    let word = |event: Event| {
        let interface = event.interface().unwrap();
        let peer = interface.peer.as_ref().map(|peer| format!(" with {}/{}", peer.netns.place, peer.name));
        let changes = match &event {
            Event::Updated(_, changes) => changes.names().map(|name| format!(" {name}")).collect(),
            _ => String::new(),
        };
        let (kind, place, name) = (event.kind(), &interface.netns.place, interface.name);
        format!("{kind} {place}/{name}{changes}{}", peer.unwrap_or_default())
    };
    std::iter::from_fn(|| events.pop()).map(word).collect()
}
