//! The nsids of namespaces in the host's namespace.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::discovery::nsfs;
use crate::engine::Wanted;
use crate::netlink::message::{Body, Request};
use crate::netlink::socket::{Incoming, RequestError, Route};

/// Returns the nsid of a namespace in the host's namespace, after an assignment if necessary.
///
/// The file is open during the call only: an open file keeps the namespace alive.
pub(super) fn ensure_nsid(
    requests: &mut impl Route,
    buffer: &mut [u8],
    path: &Path,
    expected: Option<&Wanted>,
) -> io::Result<i32> {
    let file = match expected {
        Some(wanted) => nsfs::open(path, wanted.file)?,
        None => File::open(path)?,
    };
    if let Some(nsid) = nsid_of(requests, buffer, &file)? {
        return Ok(nsid);
    }
    match requests.ask(Request::assign_nsid(file.as_raw_fd()), buffer, |_| {}) {
        // Another process was faster: a veth into the namespace is enough.
        Err(RequestError::Failed(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    nsid_of(requests, buffer, &file)?.ok_or_else(|| io::Error::other("the kernel gave the namespace no nsid"))
}

pub(super) fn nsid_of(requests: &mut impl Route, buffer: &mut [u8], file: &File) -> io::Result<Option<i32>> {
    let mut nsid = None;
    requests.ask(Request::get_nsid_of_fd(file.as_raw_fd()), buffer, |incoming| {
        if let Incoming::Reply(Body::NewNsid(number)) = incoming {
            nsid = Some(number);
        }
    })?;
    Ok(nsid.filter(|number| *number >= 0))
}

/// Lists every nsid in the host's namespace, with nsids of namespaces that are being destroyed.
pub(super) fn list_nsids(requests: &mut impl Route, buffer: &mut [u8]) -> io::Result<BTreeSet<i32>> {
    let mut nsids = BTreeSet::new();
    requests.ask(Request::list_nsids(), buffer, |incoming| {
        if let Incoming::Reply(Body::NewNsid(nsid)) = incoming {
            nsids.insert(nsid);
        }
    })?;
    Ok(nsids)
}
