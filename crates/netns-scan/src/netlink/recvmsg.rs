//! `recvmsg(2)` with the sender's nsid. The one place with `unsafe`: no safe wrapper decodes
//! this control message.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{NETLINK_LISTEN_ALL_NSID, SOL_NETLINK};

/// One datagram that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Its length; at most the buffer's.
    pub(crate) len: usize,
    /// It was longer than the buffer: the rest is lost.
    pub(crate) truncated: bool,
    /// The kernel sent it, and not another process.
    pub(crate) from_kernel: bool,
    /// The namespace it comes from, seen from the socket's; `None`: from the socket's own.
    pub(crate) nsid: Option<i32>,
}

/// Room for one `int` of control data, aligned as `cmsghdr` wants it.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; 64],
}

/// Takes one datagram from a netlink socket without waiting.
///
/// # Errors
///
/// As `recvmsg(2)`: `WouldBlock` when there is none, `ENOBUFS` once after messages were lost.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; 64] };
    // SAFETY: both are plain C structures, for which all zeroes is a value.
    let (mut sender, mut msg) = unsafe { std::mem::zeroed::<(libc::sockaddr_nl, libc::msghdr)>() };
    msg.msg_name = (&raw mut sender).cast();
    msg.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (&raw mut control).cast();
    msg.msg_controllen = size_of::<Control>() as _;
    // SAFETY: every pointer in `msg` is to a live local or to `buffer`, with its length beside it.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut msg, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    Ok(Datagram {
        len: len.min(buffer.len()),
        truncated: msg.msg_flags & libc::MSG_TRUNC != 0,
        from_kernel: sender.nl_pid == 0,
        nsid: nsid(&msg),
    })
}

/// `NETLINK_LISTEN_ALL_NSID` in the control data (`netlink(7)`).
fn nsid(msg: &libc::msghdr) -> Option<i32> {
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`, the CMSG macros stay inside,
    // and an `int` is read only where `cmsg_len` says that one is there.
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
