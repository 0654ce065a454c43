//! Events of an informer, and the differences that make an `Updated`.

use std::fmt;
use std::sync::Arc;

use crate::{FinalCounters, Interface};

/// A change of an interface, emitted by an [`Informer`](crate::Informer).
///
/// For each [`InterfaceId`](crate::InterfaceId) there is one `Added`, then any number of `Updated`, then one
/// `Deleted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<O = ()> {
    /// The interface exists, up or down.
    Added(Arc<Interface<O>>),
    /// A property of the interface has changed.
    Updated(Arc<Interface<O>>, Changes),
    /// The interface is deleted; with its last state and its final counters.
    ///
    /// `None` where no counters are known, and where the interface lives on: under another name, or hidden
    /// by a filter.
    Deleted(Arc<Interface<O>>, Option<Arc<FinalCounters>>),
    /// All interfaces that existed at the start have been emitted. Comes once.
    Synced,
}

impl<O> Event<O> {
    /// The event between two states of an existence; `None` if the states are equal.
    ///
    /// Two states must have the same [`InterfaceId`](crate::InterfaceId).
    #[must_use]
    pub fn between(before: Option<&Arc<Interface<O>>>, now: Option<&Arc<Interface<O>>>) -> Option<Self>
    where
        O: PartialEq,
    {
        match (before, now) {
            (None, None) => None,
            (None, Some(now)) => Some(Self::Added(now.clone())),
            (Some(before), None) => Some(Self::Deleted(before.clone(), None)),
            (Some(before), Some(now)) => {
                let changes = before.changes_to(now);
                (!changes.is_empty()).then(|| Self::Updated(now.clone(), changes))
            }
        }
    }

    /// The same event with another view of its interface, for example with an owner.
    #[must_use]
    pub fn map<P>(self, view: impl FnOnce(&Arc<Interface<O>>) -> Arc<Interface<P>>) -> Event<P> {
        match self {
            Self::Added(interface) => Event::Added(view(&interface)),
            Self::Updated(interface, changes) => Event::Updated(view(&interface), changes),
            Self::Deleted(interface, counters) => Event::Deleted(view(&interface), counters),
            Self::Synced => Event::Synced,
        }
    }

    /// The kind of the event.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Added(_) => EventKind::Added,
            Self::Updated(..) => EventKind::Updated,
            Self::Deleted(..) => EventKind::Deleted,
            Self::Synced => EventKind::Synced,
        }
    }

    /// The interface of the event; `Synced` has none.
    #[must_use]
    pub fn interface(&self) -> Option<&Arc<Interface<O>>> {
        match self {
            Self::Added(interface) | Self::Updated(interface, _) | Self::Deleted(interface, _) => Some(interface),
            Self::Synced => None,
        }
    }
}

/// The kind of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// See [`Event::Added`].
    Added,
    /// See [`Event::Updated`].
    Updated,
    /// See [`Event::Deleted`].
    Deleted,
    /// See [`Event::Synced`].
    Synced,
}

impl EventKind {
    /// `Added`, `Updated`, `Deleted` or `Synced`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "Added",
            Self::Updated => "Updated",
            Self::Deleted => "Deleted",
            Self::Synced => "Synced",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of the properties that can change during an existence of an interface.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Changes(u16);

impl Changes {
    /// The link-layer address.
    pub const MAC: Self = Self(1);
    /// The MTU.
    pub const MTU: Self = Self(1 << 1);
    /// The operational state.
    pub const OPER_STATE: Self = Self(1 << 2);
    /// The administrative state.
    pub const ADMIN_UP: Self = Self(1 << 3);
    /// The addresses.
    pub const ADDRESSES: Self = Self(1 << 4);
    /// The peer of a veth: found, renamed or gone.
    pub const PEER: Self = Self(1 << 5);
    /// The owner: found, corrected or gone.
    pub const OWNER: Self = Self(1 << 6);

    /// The bridge, bond or VRF that the interface belongs to.
    pub const MASTER: Self = Self(1 << 7);
    /// The interface below.
    pub const LOWER: Self = Self(1 << 8);
    /// The alias.
    pub const ALIAS: Self = Self(1 << 9);
    /// The alternative names.
    pub const ALT_NAMES: Self = Self(1 << 10);

    /// The ends of a tunnel.
    pub const UNDERLAY: Self = Self(1 << 11);
    /// The hardware behind the interface.
    pub const PARENT: Self = Self(1 << 12);

    /// All properties.
    pub const ALL: Self = Self((1 << 13) - 1);

    const NAMES: [(Self, &'static str); 13] = [
        (Self::MAC, "mac"),
        (Self::MTU, "mtu"),
        (Self::OPER_STATE, "oper_state"),
        (Self::ADMIN_UP, "admin_up"),
        (Self::ADDRESSES, "addresses"),
        (Self::PEER, "peer"),
        (Self::OWNER, "owner"),
        (Self::MASTER, "master"),
        (Self::LOWER, "lower"),
        (Self::ALIAS, "alias"),
        (Self::ALT_NAMES, "alt_names"),
        (Self::UNDERLAY, "underlay"),
        (Self::PARENT, "parent"),
    ];

    /// Union of both sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of the properties, as in JSON output.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(change, _)| self.contains(*change)).map(|(_, name)| name)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
