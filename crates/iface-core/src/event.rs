use std::fmt;
use std::sync::Arc;

use crate::Interface;

/// What an [`Informer`](crate::Informer) says.
///
/// Of one [`InterfaceId`](crate::InterfaceId) a consumer hears `Added` once, then any number of
/// `Updated`, then `Deleted` once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<O = ()> {
    /// It exists, up or not.
    Added(Arc<Interface<O>>),
    /// It is another than before.
    Updated(Arc<Interface<O>>, Changes),
    /// It is gone; as it was last.
    Deleted(Arc<Interface<O>>),
    /// Everything that existed at the start has been said. Comes once.
    Synced,
}

impl<O> Event<O> {
    /// The event that leads from one state of an existence to the next, if there is anything to say.
    ///
    /// Both states, where there are two, have the same [`InterfaceId`](crate::InterfaceId).
    #[must_use]
    pub fn between(before: Option<&Arc<Interface<O>>>, now: Option<&Arc<Interface<O>>>) -> Option<Self>
    where
        O: PartialEq,
    {
        match (before, now) {
            (None, None) => None,
            (None, Some(now)) => Some(Self::Added(now.clone())),
            (Some(before), None) => Some(Self::Deleted(before.clone())),
            (Some(before), Some(now)) => {
                let changes = before.changes_to(now);
                (!changes.is_empty()).then(|| Self::Updated(now.clone(), changes))
            }
        }
    }

    /// The same event about another view of its interface, for example with an owner.
    #[must_use]
    pub fn map<P>(self, view: impl FnOnce(&Arc<Interface<O>>) -> Arc<Interface<P>>) -> Event<P> {
        match self {
            Self::Added(interface) => Event::Added(view(&interface)),
            Self::Updated(interface, changes) => Event::Updated(view(&interface), changes),
            Self::Deleted(interface) => Event::Deleted(view(&interface)),
            Self::Synced => Event::Synced,
        }
    }

    /// Which of the four it is.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Added(_) => EventKind::Added,
            Self::Updated(..) => EventKind::Updated,
            Self::Deleted(_) => EventKind::Deleted,
            Self::Synced => EventKind::Synced,
        }
    }

    /// The interface it is about.
    #[must_use]
    pub fn interface(&self) -> Option<&Arc<Interface<O>>> {
        match self {
            Self::Added(interface) | Self::Updated(interface, _) | Self::Deleted(interface) => Some(interface),
            Self::Synced => None,
        }
    }
}

/// An [`Event`] without what it is about.
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

/// A set of the properties that can change while an interface stays the same.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Changes(u8);

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
    /// The peer of a veth: met, renamed or gone.
    pub const PEER: Self = Self(1 << 5);
    /// The owner: found, corrected or gone.
    pub const OWNER: Self = Self(1 << 6);

    /// All of them.
    pub const ALL: Self = Self((1 << 7) - 1);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::MAC, "mac"),
        (Self::MTU, "mtu"),
        (Self::OPER_STATE, "oper_state"),
        (Self::ADMIN_UP, "admin_up"),
        (Self::ADDRESSES, "addresses"),
        (Self::PEER, "peer"),
        (Self::OWNER, "owner"),
    ];

    /// Both sets together.
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

    /// The properties' names, as the JSON output has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(change, _)| self.contains(*change)).map(|(_, name)| name)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
