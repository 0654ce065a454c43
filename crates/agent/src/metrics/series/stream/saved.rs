//! Streams that survive the agent.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use super::{Origin, Raw, Stream, StreamIdentity};
use crate::interface::{Interface, Owner, PodOwner};
use crate::metrics::catalog::COUNTERS;
use crate::metrics::points::{Attributes, Nanos, Subject};

/// A stream for the next agent on the same boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedStream {
    link: Link,
    /// Exported attributes.
    identity: u64,
    known: bool,
    starts: [Nanos; COUNTERS],
    bases: [u64; COUNTERS],
    last: (Nanos, [u64; COUNTERS]),
    delivered: Option<(Nanos, [u64; COUNTERS])>,
    restart: bool,
}

/// The link of a stream, as far as two agents see the same.
///
/// The kernel reuses inodes of namespaces, and each pod has an `eth0` with a low ifindex. A cookie is never reused; where
/// the kernel shows none, MAC address, name and owner complete the identity, and the counters must not have gone back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::metrics::series) struct Link {
    /// Device and inode.
    file: Option<(u64, u64)>,
    cookie: Option<u64>,
    ifindex: u32,
    name: String,
    mac: Option<String>,
    owner: Option<String>,
}

impl Link {
    /// `None` where nothing tells the namespace from others.
    pub(in crate::metrics::series) fn of(interface: &Interface) -> Option<Self> {
        let netns = &interface.netns;
        let owner = interface.owner.as_deref().map(|owner| match owner {
            Owner::Pod(PodOwner { pod, .. }) => {
                pod.uid.clone().unwrap_or_else(|| format!("{}/{}", pod.namespace, pod.name))
            }
            Owner::Container(owner) => format!("{:?} {}", owner.container.runtime, owner.container.name),
        });
        let (file, cookie) = (netns.file.map(|file| (file.dev, file.inode)), netns.cookie.map(Into::into));
        (file.is_some() || cookie.is_some()).then(|| Self {
            file,
            cookie,
            ifindex: interface.ifindex,
            name: interface.name.to_string(),
            mac: interface.mac.map(|mac| mac.to_string()),
            owner,
        })
    }
}

impl SavedStream {
    pub(in crate::metrics::series) fn link(&self) -> &Link {
        &self.link
    }

    /// The next agent exports under other attributes, so every series is another one.
    pub(in crate::metrics::series) fn renamed(self) -> Self {
        Self { restart: true, ..self }
    }
}

impl Stream {
    /// The stream to be saved, once it has a point.
    pub(in crate::metrics::series) fn saved(&self, attributes: Attributes) -> Option<SavedStream> {
        let pair = |raw: Raw| (raw.time, raw.values);
        Some(SavedStream {
            link: Link::of(&self.identity.interface)?,
            identity: self.identity.fingerprint(attributes),
            known: self.origin == Origin::Known,
            starts: self.starts,
            bases: self.bases,
            last: pair(self.last?),
            delivered: self.delivered.map(pair),
            restart: self.restart,
        })
    }

    /// Continues the stream of the agent before, unless a counter went back: then this is another link, or its driver was
    /// reset meanwhile.
    pub(in crate::metrics::series) fn resume(
        &mut self,
        saved: &SavedStream,
        values: &[u64; COUNTERS],
        attributes: Attributes,
    ) {
        if values.iter().zip(saved.last.1).any(|(value, before)| *value < before) {
            return;
        }
        let raw = |(time, values)| Raw { time, values };
        self.origin = if saved.known { Origin::Known } else { Origin::Unknown };
        (self.starts, self.bases) = (saved.starts, saved.bases);
        (self.last, self.delivered) = (Some(raw(saved.last)), saved.delivered.map(raw));
        self.restart = saved.restart || saved.identity != self.identity.fingerprint(attributes);
    }
}

impl StreamIdentity {
    /// Two agents of one version compute the same number of the same attributes; any other number begins a new series.
    fn fingerprint(&self, attributes: Attributes) -> u64 {
        let mut hasher = DefaultHasher::new();
        match &self.subject {
            Subject::Node => {}
            Subject::Pod(pod) => format!("{pod:?}").hash(&mut hasher),
            Subject::Container(container) => format!("{container:?}").hash(&mut hasher),
            Subject::Netns(netns) => netns.place.hash(&mut hasher),
        }
        attributes.of(&self.interface).for_each(|pair| pair.hash(&mut hasher));
        hasher.finish()
    }
}
