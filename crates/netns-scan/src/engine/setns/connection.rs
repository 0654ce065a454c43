//! One socket in a namespace: requests, and notifications that arrive between replies.

use std::fs::File;
use std::os::fd::AsRawFd;

use iface_core::NetnsId;

use crate::engine::Wanted;
use crate::netlink::dump::Change;
use crate::netlink::message::{Body, Link, Pair, PairPlace, Request};
use crate::netlink::socket::{Incoming, RequestError, Route};
use crate::state::LinkId;

/// A socket in a namespace.
pub(super) struct Connection<S> {
    pub(super) wanted: Wanted,
    pub(super) socket: S,
    /// The nsid of the host's namespace in this namespace, once assigned.
    pub(super) host_nsid: Option<i32>,
}

/// A link whose peer is in another namespace than the host's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unplaced {
    /// The nsid of the peer's namespace in the link's.
    pub(super) nsid: i32,
    /// The nsid is from a request for the link, not from a notification or a dump.
    pub(super) is_asked: bool,
}

/// Notifications of a socket, received with or without a request.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    pub(super) changes: Vec<Change>,
    pub(super) overruns: u64,
    pub(super) malformed: u64,
}

impl Notifications {
    pub(super) fn note(&mut self, body: Body<'_>) {
        match Change::of(body) {
            Ok(Some(change)) => match self.changes.last_mut() {
                Some(before) if change.supersedes(before) => *before = change,
                _ => self.changes.push(change),
            },
            Ok(None) => {}
            Err(_) => self.malformed += 1,
        }
    }
}

impl<S: Route> Connection<S> {
    /// Sends a request. Replies and notifications share a queue, so notifications are kept meanwhile.
    pub(super) fn ask(
        &mut self,
        request: Request,
        buffer: &mut [u8],
        notifications: &mut Notifications,
        mut reply: impl FnMut(Body<'_>),
    ) -> Result<(), RequestError> {
        self.socket.ask(request, buffer, |incoming| match incoming {
            Incoming::Reply(body) => reply(body),
            Incoming::Notification(body) => notifications.note(body),
            Incoming::Overrun => notifications.overruns += 1,
        })
    }

    /// Requests the nsid of the host's namespace in this namespace, once.
    pub(super) fn learn_host_nsid(
        &mut self,
        host: NetnsId,
        home: &File,
        buffer: &mut [u8],
        notifications: &mut Notifications,
    ) {
        if self.host_nsid.is_none() && self.wanted.id != host {
            self.host_nsid = self.nsid_of(home, buffer, notifications);
        }
    }

    /// Requests the nsid of another namespace in this namespace.
    pub(super) fn nsid_of(&mut self, file: &File, buffer: &mut [u8], notifications: &mut Notifications) -> Option<i32> {
        let mut nsid = None;
        let result = self.ask(Request::get_nsid_of_fd(file.as_raw_fd()), buffer, notifications, |body| {
            if let Body::NewNsid(number) = body {
                nsid = Some(number);
            }
        });
        nsid.filter(|number| result.is_ok() && *number >= 0)
    }

    /// Sets the places of a link's peer and lower device; returns the nsid of the peer's namespace where
    /// that is neither this one nor the host's.
    pub(super) fn locate(&self, host: NetnsId, link: &mut Link) -> Option<(LinkId, Unplaced)> {
        link.locate(self.host_nsid);
        let Some(pair @ Pair { place: PairPlace::Nsid(nsid), .. }) = link.pair else { return None };
        // An nsid is valid only in the namespace that assigned the nsid: the peer's own link tells.
        link.pair = Some(Pair { place: PairPlace::Elsewhere { nsid }, ..pair });
        let id = self.wanted.id;
        (id != host).then_some(((id, link.ifindex), Unplaced { nsid, is_asked: false }))
    }
}
