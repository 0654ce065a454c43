//! `recvmsg(2)` with the multicast group and the nsid of a datagram.
//!
#![allow(unsafe_code, reason = "no safe wrapper decodes NETLINK_LISTEN_ALL_NSID")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{NETLINK_LISTEN_ALL_NSID, SOL_NETLINK};

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Length in the buffer.
    pub(crate) len: usize,
    /// The datagram was longer than the buffer and lost its end.
    pub(crate) truncated: bool,
    /// The sender is the kernel, not another process.
    pub(crate) from_kernel: bool,
    /// A notification, which the kernel sends to a multicast group, and not the reply to a request.
    ///
    /// The port in a message cannot tell the two apart: a notification has the port of the socket
    /// whose request made the change, and another namespace may have a socket with the same port.
    pub(crate) multicast: bool,
    /// The nsid of the namespace that the datagram is from; `None` for the socket's own namespace.
    pub(crate) nsid: Option<i32>,
}

/// Buffer for one `int` of control data with the alignment of `cmsghdr`.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; 64],
}

/// Receives one datagram from a netlink socket without blocking.
///
/// # Errors
///
/// As `recvmsg(2)`: `WouldBlock` when the queue is empty, `ENOBUFS` once after lost messages.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; 64] };
    // SAFETY: both types are plain C structures, for which all zeroes is a valid value.
    let (mut sender, mut msg) = unsafe { std::mem::zeroed::<(libc::sockaddr_nl, libc::msghdr)>() };
    msg.msg_name = (&raw mut sender).cast();
    msg.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (&raw mut control).cast();
    msg.msg_controllen = size_of::<Control>() as _;
    // SAFETY: every pointer in `msg` points to a live local or to `buffer`, with the matching length.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut msg, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    Ok(Datagram {
        len: len.min(buffer.len()),
        truncated: msg.msg_flags & libc::MSG_TRUNC != 0,
        from_kernel: sender.nl_pid == 0,
        multicast: sender.nl_groups != 0,
        nsid: nsid(&msg),
    })
}

/// `NETLINK_LISTEN_ALL_NSID` in the control data (`netlink(7)`).
fn nsid(msg: &libc::msghdr) -> Option<i32> {
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`, the CMSG macros stay inside,
    // and an `int` is read only where `cmsg_len` covers an `int`.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(msg);
        while let Some(cmsg) = header.as_ref() {
            if cmsg.cmsg_level == SOL_NETLINK
                && cmsg.cmsg_type == NETLINK_LISTEN_ALL_NSID
                && cmsg.cmsg_len >= libc::CMSG_LEN(size_of::<i32>() as u32) as usize
            {
                return Some(libc::CMSG_DATA(cmsg).cast::<i32>().read_unaligned());
            }
            header = libc::CMSG_NXTHDR(msg, cmsg);
        }
    }
    None
}
