//! rtnetlink sockets: requests with their replies, and notifications.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::netlink::message::{Body, Request, parse};
use crate::netlink::recvmsg::{Datagram, receive};

/// Multicast groups to join, a bit each (`RTMGRP_*`, `linux/rtnetlink.h`).
///
/// A socket joins all its groups in `bind(2)`: each later change of its groups makes the kernel
/// walk every socket with a group, in all namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups(u32);

impl Groups {
    pub(crate) const NONE: Self = Self(0);
    /// Assigned and removed nsids: group 28.
    pub(crate) const NSIDS: Self = Self(1 << 27);
    /// Links and the addresses of both families: groups 1, 5 and 9.
    pub(crate) const INTERFACES: Self = Self(1 | 1 << 4 | 1 << 8);
    /// Both.
    pub(crate) const INTERFACES_AND_NSIDS: Self = Self(Self::INTERFACES.0 | Self::NSIDS.0);
}

/// Port and groups of the kernel's own address.
const KERNEL: (u32, u32) = (0, 0);

/// Twice the size of the largest datagram of a dump (32 KiB).
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

/// An rtnetlink socket. The socket belongs to the namespace of the thread that opened it and keeps
/// that namespace alive until dropped.
pub(crate) struct RouteSocket {
    socket: Socket,
    seq: u32,
}

/// Result of receiving a datagram.
pub(crate) enum Received {
    /// A datagram in the buffer.
    Datagram(Datagram),
    /// A datagram longer than the buffer: one namespace has changed in an unknown way.
    Truncated(Datagram),
    /// The queue is empty.
    Nothing,
    /// Notifications were lost: every namespace of this socket needs a new dump.
    Overrun,
}

/// A message received during a request.
pub(crate) enum Incoming<'a> {
    /// Part of the reply.
    Reply(Body<'a>),
    /// A notification, unrelated to the request.
    Notification(Body<'a>),
    /// Notifications were lost.
    Overrun,
}

/// Failure of a request.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The kernel refused the request, or the socket failed.
    Failed(io::Error),
    /// The reply is incomplete; the same request may succeed when repeated.
    Incomplete(Incomplete),
    /// The kernel ended a dump at an object whose message exceeds the dump's buffer (`EMSGSIZE`). Linux 5.10 answers so;
    /// Linux 6.18 ends the dump without an error.
    CutShort,
}

/// Reason for an incomplete reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomplete {
    /// The dumped objects changed during the dump (`NLM_F_DUMP_INTR`).
    #[error("links or addresses changed during the dump")]
    Changed,
    /// The reply found no room in the receive queue (nothing left to receive, or `ENOBUFS`).
    #[error("the receive queue had no room for the reply")]
    NoRoom,
    /// An earlier dump of the socket is not read to its end yet (`EBUSY`).
    #[error("an earlier dump on the socket is still running")]
    Busy,
    /// Notifications were lost during the dump, or arrive faster than they are read.
    #[error("notifications were lost during the dump")]
    Overrun,
}

impl RequestError {
    /// The objects received before the error are a part of the reply.
    pub(crate) fn keeps_objects(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }

    fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ENOBUFS => Self::Incomplete(Incomplete::NoRoom),
            libc::EBUSY => Self::Incomplete(Incomplete::Busy),
            libc::EMSGSIZE => Self::CutShort,
            _ => Self::Failed(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl RouteSocket {
    /// Opens a socket in the calling thread's namespace.
    pub(crate) fn open(groups: Groups) -> io::Result<Self> {
        Self::bind(Socket::new(NETLINK_ROUTE)?, groups)
    }

    /// Opens a socket that also receives the notifications of every namespace with an nsid here
    /// (`NETLINK_LISTEN_ALL_NSID`, needs `CAP_NET_BROADCAST`).
    pub(crate) fn open_for_all_namespaces(groups: Groups) -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_listen_all_namespaces(true)?;
        Self::bind(socket, groups)
    }

    fn bind(mut socket: Socket, groups: Groups) -> io::Result<Self> {
        socket.bind(&SocketAddr::new(0, groups.0))?;
        Ok(Self { socket, seq: 0 })
    }

    /// Lets dumps name a target namespace (`NETLINK_GET_STRICT_CHK`, Linux 5.0).
    pub(crate) fn check_strictly(&self) -> io::Result<()> {
        self.socket.set_netlink_get_strict_chk(true)
    }
}

/// The kernel's end of an rtnetlink socket: tests replay what a kernel has sent.
pub(crate) trait Route: AsFd + Send {
    /// Sets the size of the receive buffer, as far as the limits allow.
    fn set_receive_buffer(&self, bytes: usize) -> io::Result<()>;

    /// Receives the next datagram of the kernel without blocking.
    ///
    /// After an overrun the kernel drops notifications without another report until the queue is
    /// empty: only a dump that starts after [`Received::Nothing`] is reliable.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends a request and receives until the end of the reply; `take` gets the reply and every
    /// notification received meanwhile.
    ///
    /// rtnetlink handles a request inside `sendmsg(2)` and continues a dump inside `recvmsg(2)`, so
    /// the reply is in the queue already and nothing waits.
    fn ask(&mut self, request: Request, buffer: &mut [u8], take: impl FnMut(Incoming<'_>)) -> Result<(), RequestError>;
}

impl Route for RouteSocket {
    fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        // Only CAP_NET_ADMIN may exceed net.core.rmem_max; without it the kernel caps the size.
        match setsockopt(&self.socket, sockopt::RcvBufForce, &bytes) {
            Err(Errno::EPERM) => Ok(setsockopt(&self.socket, sockopt::RcvBuf, &bytes)?),
            result => Ok(result?),
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
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

    fn ask(
        &mut self,
        mut request: Request,
        buffer: &mut [u8],
        mut take: impl FnMut(Incoming<'_>),
    ) -> Result<(), RequestError> {
        self.seq = self.seq.wrapping_add(1).max(1);
        let kernel = SocketAddr::new(KERNEL.0, KERNEL.1);
        self.socket.send_to(request.bytes(self.seq), &kernel, 0).map_err(RequestError::Failed)?;
        let mut reply = Reply { seq: self.seq, changed: false };
        loop {
            let datagram = match self.receive(buffer).map_err(RequestError::Failed)? {
                Received::Datagram(datagram) => datagram,
                Received::Overrun | Received::Truncated(_) => {
                    take(Incoming::Overrun);
                    continue;
                }
                Received::Nothing => return Err(RequestError::Incomplete(Incomplete::NoRoom)),
            };
            if reply.receive(&buffer[..datagram.len], datagram.multicast, &mut take)? {
                return Ok(());
            }
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Errno> for RequestError {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

/// State of a reply that is being received. Pure.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) seq: u32,
    changed: bool,
}

impl Reply {
    /// A reply to a recorded request: all have this sequence number.
    #[cfg(test)]
    pub(crate) const RECORDED: Self = Self { seq: 1, changed: false };

    /// Takes one datagram; `true` at the end of the reply.
    pub(crate) fn receive(
        &mut self,
        datagram: &[u8],
        multicast: bool,
        take: &mut impl FnMut(Incoming<'_>),
    ) -> Result<bool, RequestError> {
        for message in parse(datagram) {
            let message = message.map_err(|error| RequestError::Failed(io::Error::other(error)))?;
            if multicast {
                take(Incoming::Notification(message.body));
                continue;
            }
            if message.seq != self.seq {
                // The rest of an abandoned reply.
                continue;
            }
            self.changed |= message.interrupted;
            match message.body {
                Body::End(0) if self.changed => return Err(RequestError::Incomplete(Incomplete::Changed)),
                Body::End(0) => return Ok(true),
                Body::End(errno) => return Err(RequestError::from_errno(errno.wrapping_neg())),
                body => take(Incoming::Reply(body)),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQ: u32 = 7;

    /// `RTM_DELNSID` of nsid 3, or `NLMSG_DONE` with a result.
    fn datagram(kind: u16, flags: i32, seq: u32, result: i32) -> Vec<u8> {
        let mut payload = Vec::new();
        if kind == libc::RTM_DELNSID {
            payload.extend([0, 0, 0, 0, 8, 0, 1, 0]);
        }
        payload.extend(result.to_ne_bytes());
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend(seq.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn done(flags: i32, seq: u32, result: i32) -> Vec<u8> {
        datagram(libc::NLMSG_DONE as u16, flags, seq, result)
    }

    /// Receives datagrams, each with its multicast flag; the messages handed out and the result.
    fn receive(datagrams: &[(Vec<u8>, bool)]) -> (Vec<&'static str>, Result<bool, RequestError>) {
        let mut reply = Reply { seq: SEQ, changed: false };
        let mut taken = Vec::new();
        let mut take = |incoming: Incoming<'_>| {
            taken.push(match incoming {
                Incoming::Reply(_) => "reply",
                Incoming::Notification(_) => "notification",
                Incoming::Overrun => "overrun",
            });
        };
        let mut result = Ok(false);
        for (datagram, multicast) in datagrams {
            result = reply.receive(datagram, *multicast, &mut take);
        }
        (taken, result)
    }

    /// A notification carries the sequence number of the request that made the change, and the port
    /// of its sender in another namespace may be the port of this socket.
    #[test]
    fn multicast_message_is_never_a_reply() {
        let change = datagram(libc::RTM_DELNSID, 0, SEQ, 3);
        let (taken, result) = receive(&[(change.clone(), true), (change, false), (done(0, SEQ, 0), false)]);
        assert_eq!(taken, ["notification", "reply"]);
        assert!(matches!(result, Ok(true)), "{result:?}");
    }

    #[test]
    fn rest_of_abandoned_reply_is_skipped() {
        let (taken, result) = receive(&[
            (datagram(libc::RTM_DELNSID, 0, SEQ - 1, 3), false),
            (done(libc::NLM_F_DUMP_INTR, SEQ - 1, 0), false),
            (done(0, SEQ, 0), false),
        ]);
        assert!(taken.is_empty(), "{taken:?}");
        assert!(matches!(result, Ok(true)), "{result:?}");
    }

    #[test]
    fn incomplete_replies_name_their_cause() {
        let cause = |message: Vec<u8>| match receive(&[(message, false)]).1 {
            Err(RequestError::Incomplete(cause)) => Some(cause),
            _ => None,
        };
        assert_eq!(cause(done(libc::NLM_F_DUMP_INTR, SEQ, 0)), Some(Incomplete::Changed));
        assert_eq!(cause(done(0, SEQ, -libc::ENOBUFS)), Some(Incomplete::NoRoom));
        assert_eq!(cause(done(0, SEQ, -libc::EBUSY)), Some(Incomplete::Busy));
        assert_eq!(cause(done(0, SEQ, -libc::EPERM)), None);
    }

    /// As Linux 5.10 answers where a link has many alternative names.
    #[test]
    fn a_message_too_long_cuts_the_dump_short() {
        let (_, result) = receive(&[(done(0, SEQ, -libc::EMSGSIZE), false)]);
        assert!(matches!(result, Err(RequestError::CutShort)), "{result:?}");
    }
}
