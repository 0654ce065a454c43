use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::netlink::message::{Body, Message, Request, parse};
use crate::netlink::recvmsg::{Datagram, receive};

/// Multicast groups to hear, a bit each (`RTMGRP_*`, `linux/rtnetlink.h`).
///
/// They are named when the socket is bound, all at once: each change of a socket's groups makes
/// the kernel walk every socket that hears anything, those in other namespaces too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups(u32);

impl Groups {
    pub(crate) const NONE: Self = Self(0);
    /// Links and both families' addresses: groups 1, 5 and 9.
    pub(crate) const INTERFACES: Self = Self(1 | 1 << 4 | 1 << 8);
    /// Those, and namespaces that get or lose their number: group 28.
    pub(crate) const INTERFACES_AND_NSIDS: Self = Self(Self::INTERFACES.0 | 1 << 27);
}

/// The kernel's own address.
const KERNEL: (u32, u32) = (0, 0);

/// Room for the largest datagram the kernel makes for a dump (32 KiB), and more.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

/// An rtnetlink socket. It belongs to the namespace its thread was in when it was opened, and
/// keeps that namespace alive until it is dropped.
pub(crate) struct RouteSocket {
    socket: Socket,
    port: u32,
    seq: u32,
}

/// What came of taking a datagram in.
pub(crate) enum Received {
    /// This many bytes of the buffer, from this namespace.
    Datagram(Datagram),
    /// A datagram longer than the buffer: one namespace has changed in an unknown way.
    Truncated(Datagram),
    /// Nothing is there now.
    Nothing,
    /// Messages were lost: what is known of this socket's namespaces is no longer certain.
    Overrun,
}

/// What a socket says while a request is answered.
pub(crate) enum Said<'a> {
    /// A part of the answer.
    Answer(Body<'a>),
    /// An event.
    Heard(Body<'a>),
    /// Events were lost.
    Overrun,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The kernel refused it, or the socket failed.
    Failed(io::Error),
    /// What was listed changed meanwhile (`NLM_F_DUMP_INTR`), or events left no room for it in the
    /// queue: ask again.
    Interrupted,
}

impl NoAnswer {
    fn of(errno: i32) -> Self {
        match errno {
            // The second is said while an answer that found no room is still on its way.
            libc::ENOBUFS | libc::EBUSY => Self::Interrupted,
            _ => Self::Failed(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl RouteSocket {
    /// A socket in the calling thread's namespace.
    pub(crate) fn open(groups: Groups) -> io::Result<Self> {
        Self::bind(Socket::new(NETLINK_ROUTE)?, groups)
    }

    /// One that hears every namespace that has an nsid here, too (`NETLINK_LISTEN_ALL_NSID`,
    /// needs CAP_NET_BROADCAST).
    pub(crate) fn open_for_all_namespaces(groups: Groups) -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_listen_all_namespaces(true)?;
        Self::bind(socket, groups)
    }

    fn bind(mut socket: Socket, groups: Groups) -> io::Result<Self> {
        socket.bind(&SocketAddr::new(0, groups.0))?;
        let mut address = SocketAddr::new(0, 0);
        socket.get_address(&mut address)?;
        Ok(Self { socket, port: address.port_number(), seq: 0 })
    }

    /// Makes the receive buffer this large, or as large as the limits allow.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        // Beyond net.core.rmem_max only with CAP_NET_ADMIN; without it what is allowed must do.
        match setsockopt(&self.socket, sockopt::RcvBufForce, &bytes) {
            Err(Errno::EPERM) => Ok(setsockopt(&self.socket, sockopt::RcvBuf, &bytes)?),
            result => Ok(result?),
        }
    }

    /// Lets dumps name a target namespace (`NETLINK_GET_STRICT_CHK`, Linux 5.0).
    pub(crate) fn check_strictly(&self) -> io::Result<()> {
        self.socket.set_netlink_get_strict_chk(true)
    }

    /// Whether a message answers a request of this socket, and is no event.
    pub(crate) fn is_answer(&self, message: &Message<'_>) -> bool {
        message.port == self.port
    }

    /// Takes the next datagram of the kernel in, without waiting.
    ///
    /// After an overrun the kernel drops what comes, and says nothing more of it, until the queue
    /// is empty: only what is listed after [`Received::Nothing`] is certain.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            match receive(self.socket.as_fd(), buffer) {
                Ok(datagram) if !datagram.from_kernel => {}
                Ok(datagram) if datagram.truncated => return Ok(Received::Truncated(datagram)),
                Ok(datagram) => return Ok(Received::Datagram(datagram)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Received::Overrun),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request and takes in everything up to the end of its answer.
    ///
    /// rtnetlink works on a request inside `sendmsg(2)` and on the rest of a dump inside
    /// `recvmsg(2)`, so the answer is always there and nothing waits.
    ///
    /// What else arrives meanwhile is handed to `take`, too.
    pub(crate) fn ask(
        &mut self,
        mut request: Request,
        buffer: &mut [u8],
        mut take: impl FnMut(Said<'_>),
    ) -> Result<(), NoAnswer> {
        self.seq = self.seq.wrapping_add(1).max(1);
        let seq = self.seq;
        self.socket.send_to(request.bytes(seq), &SocketAddr::new(KERNEL.0, KERNEL.1), 0).map_err(NoAnswer::Failed)?;
        let mut interrupted = false;
        loop {
            let len = match self.receive(buffer).map_err(NoAnswer::Failed)? {
                Received::Datagram(datagram) => datagram.len,
                Received::Overrun | Received::Truncated(_) => {
                    take(Said::Overrun);
                    continue;
                }
                // There was no room left for the answer.
                Received::Nothing => return Err(NoAnswer::Interrupted),
            };
            for message in parse(&buffer[..len]) {
                let message = message.map_err(|error| NoAnswer::Failed(io::Error::other(error)))?;
                if !self.is_answer(&message) {
                    take(Said::Heard(message.body));
                    continue;
                }
                if message.seq != seq {
                    // What is left of an answer that was given up.
                    continue;
                }
                interrupted |= message.interrupted;
                match message.body {
                    Body::End(0) if interrupted => return Err(NoAnswer::Interrupted),
                    Body::End(0) => return Ok(()),
                    Body::End(errno) => return Err(NoAnswer::of(-errno)),
                    body => take(Said::Answer(body)),
                }
            }
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Errno> for NoAnswer {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}
