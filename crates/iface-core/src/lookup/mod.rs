//! Lookups of interfaces by index, MAC address, name, namespace and id.

pub(crate) mod kernel;
pub(crate) mod preferred;
pub(crate) mod registerer;
pub(crate) mod table;

use std::fmt;
use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use crate::lookup::kernel::KernelNames;
use crate::lookup::table::{CachedTable, Hit, Key, LoadEachTime, Occupant, Row, Shared, Tables, View};
use crate::{IfName, Interface, InterfaceId, MacAddr, Netns, NetnsId, NetnsName, Place};

/// Answers which interface something is, from any thread, while a
/// [`Registerer`](crate::Registerer) follows the events.
///
/// Cheap to clone, and all clones see the same. No method waits for a lock or for the thread that
/// applies events, and none allocates unless it says so; the bound on a lookup's work is the size
/// of the table. A lookup that runs beside a change answers as before or as after it. When the
/// `Registerer` is gone, answers stay as they were.
///
/// ```
/// use std::thread;
/// use futures_util::{StreamExt, stream};
/// use iface_core::{MacAddr, Registerer};
///
/// # futures_util::FutureExt::now_or_never(async {
/// # let events = stream::empty::<iface_core::Event>();
/// let mut registerer = Registerer::new(events);
/// let lookup = registerer.lookup();
/// let mac = MacAddr::from([0x0a, 0x58, 0x0a, 0xf4, 0, 5]);
/// thread::spawn(move || {
///     if let Some(answer) = lookup.name_for_index_and_mac(2, Some(&mac)) {
///         println!("{} ({})", answer.name, answer.confidence);
///     }
/// });
/// while let Some(_event) = registerer.next().await {}
/// # });
/// ```
#[derive(Debug)]
pub struct Lookup<O = ()> {
    pub(crate) shared: Arc<Shared<O>>,
    pub(crate) kernel: Option<Arc<KernelNames>>,
}

// Derived, it would ask for an owner that can be cloned.
impl<O> Clone for Lookup<O> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), kernel: self.kernel.clone() }
    }
}

impl<O> Lookup<O> {
    /// The name of the interface with this number, told from others with the same by its MAC
    /// address.
    ///
    /// As [`for_index_and_mac`](Self::for_index_and_mac), but a number that no known interface
    /// has is asked of the kernel, where [`LookupOptions`](crate::LookupOptions) say how, and the answer
    /// counts as a guess. A number is asked once a second at most, and all numbers together a
    /// hundred times a second: beyond that the answer is `None` without asking. Asking allocates.
    #[must_use]
    pub fn name_for_index_and_mac(&self, ifindex: u32, mac: Option<&MacAddr>) -> Option<Answer> {
        self.name(&mut LoadEachTime, ifindex, mac)
    }

    /// Answers as this does, a little faster: for a thread that asks for every packet.
    #[must_use]
    pub fn reader(&self) -> Reader<O> {
        Reader { kept: CachedTable::new(&self.shared), lookup: self.clone() }
    }

    /// The interface with this number, told from others with the same by its MAC address.
    ///
    /// 1. One interface has the number: that one, whatever the MAC.
    /// 2. Several have it: the one with this MAC.
    /// 3. None of them has this MAC: the one whose name a rule prefers for the MAC's prefix.
    /// 4. No rule helps: the host's, else that of the namespace whose name sorts first.
    ///
    /// Where 2 or 3 leave several, they are told apart as in 4. A packet's MAC is often the other
    /// end's or a router's, so 1 and 4 do not ask for a match.
    #[must_use]
    pub fn for_index_and_mac(&self, ifindex: u32, mac: Option<&MacAddr>) -> Option<Found<O>> {
        let found = |row, confidence| Found { row, confidence };
        self.shared.settled(&mut LoadEachTime, |view| self.pick(view, ifindex, mac, found))
    }

    #[inline(always)]
    fn name(&self, tables: &mut impl Tables<O>, ifindex: u32, mac: Option<&MacAddr>) -> Option<Answer> {
        let named = |name, confidence| Answer { name, confidence };
        let known = self.shared.settled(tables, |view| self.pick(view, ifindex, mac, named));
        if known.is_some() {
            return known;
        }
        let name = self.kernel.as_ref()?.name(ifindex)?;
        Some(Answer { name, confidence: Confidence::Guess })
    }

    #[inline(always)]
    fn pick<T: Occupant<O>, A>(
        &self,
        view: &View<'_, O>,
        ifindex: u32,
        mac: Option<&MacAddr>,
        answer: impl Fn(T, Confidence) -> A,
    ) -> ControlFlow<Option<A>, Option<A>> {
        if let Some(mac) = mac
            && let Some(Hit { found, alone }) = view.find(&Key::IfindexMac(ifindex, mac))
        {
            return match alone {
                true => ControlFlow::Break(Some(answer(found, Confidence::Exact))),
                false => ControlFlow::Continue(Some(answer(found, Confidence::Guess))),
            };
        }
        let Some(Hit { found, alone }) = view.find(&Key::Ifindex(ifindex)) else { return ControlFlow::Continue(None) };
        if alone {
            return ControlFlow::Continue(Some(answer(found, Confidence::Exact)));
        }
        let preferred = mac.and_then(|mac| {
            let mut names = self.shared.preferred().names_for(mac);
            names.find_map(|name| view.find(&Key::IfindexName(ifindex, name)))
        });
        ControlFlow::Continue(Some(match preferred {
            Some(Hit { found, .. }) => answer(found, Confidence::Preferred),
            None => answer(found, Confidence::Guess),
        }))
    }

    /// The interface with this number in this namespace.
    ///
    /// ```
    /// # let lookup = iface_core::Registerer::new(futures_util::stream::empty::<iface_core::Event>()).lookup();
    /// use iface_core::NetnsRef;
    ///
    /// let host = lookup.in_netns(NetnsRef::Host, 2);
    /// let blue = lookup.in_netns("blue", 2);
    /// ```
    #[must_use]
    pub fn in_netns<'a>(&self, netns: impl Into<NetnsRef<'a>>, ifindex: u32) -> Option<Found<O>> {
        self.by(&Key::Netns(netns.into(), ifindex))
    }

    /// The interface with this name; a guess when several namespaces have one.
    #[must_use]
    pub fn by_name(&self, name: &IfName) -> Option<Found<O>> {
        self.by(&Key::Name(name))
    }

    /// The interface with this MAC address; a guess when several have it.
    #[must_use]
    pub fn by_mac(&self, mac: &MacAddr) -> Option<Found<O>> {
        self.by(&Key::Mac(mac))
    }

    /// The interface with this id, while it exists.
    #[must_use]
    pub fn get(&self, id: InterfaceId) -> Option<Found<O>> {
        self.by(&Key::Id(id))
    }

    fn by(&self, key: &Key<'_>) -> Option<Found<O>> {
        let Hit { found: row, alone } = self.shared.find(key)?;
        Some(Found { row, confidence: if alone { Confidence::Exact } else { Confidence::Guess } })
    }

    /// Visits every interface, in no particular order.
    ///
    /// One that exists throughout is visited once; one that comes or goes meanwhile, at most once.
    pub fn for_each(&self, visit: impl FnMut(&Arc<Interface<O>>)) {
        self.shared.for_each(visit);
    }

    /// Every interface, as [`for_each`](Self::for_each) visits them. Allocates the vector.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Arc<Interface<O>>> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|interface| all.push(interface.clone()));
        all
    }

    /// How many interfaces are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no interface is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A [`Lookup`] for one thread, which counts no references from question to question.
///
/// It keeps the table as it was at its last question: where interfaces come and go and nobody
/// asks, memory of what is gone stays with it.
///
/// ```
/// # let lookup = iface_core::Registerer::new(futures_util::stream::empty::<iface_core::Event>()).lookup();
/// let mut reader = lookup.reader();
/// std::thread::spawn(move || reader.name_for_index_and_mac(2, None));
/// ```
#[derive(Debug)]
pub struct Reader<O = ()> {
    lookup: Lookup<O>,
    kept: CachedTable<O>,
}

impl<O> Clone for Reader<O> {
    fn clone(&self) -> Self {
        Self { lookup: self.lookup.clone(), kept: self.kept.clone() }
    }
}

impl<O> Reader<O> {
    /// As [`Lookup::name_for_index_and_mac`].
    #[must_use]
    pub fn name_for_index_and_mac(&mut self, ifindex: u32, mac: Option<&MacAddr>) -> Option<Answer> {
        self.lookup.name(&mut self.kept, ifindex, mac)
    }
}

/// An interface that was found, as it was at that moment, and how sure that is.
///
/// Reads as the [`Interface`]. It is meant to be looked at and dropped; to keep the interface,
/// take the [`Arc`].
pub struct Found<O = ()> {
    // Never `None`: a lookup that meets an empty slot goes on.
    row: Row<O>,
    /// What the answer rests on.
    pub confidence: Confidence,
}

impl<O> Found<O> {
    /// The interface, to be kept.
    #[must_use]
    pub fn to_arc(&self) -> Arc<Interface<O>> {
        self.arc().clone()
    }

    fn arc(&self) -> &Arc<Interface<O>> {
        match &*self.row {
            Some(interface) => interface,
            None => unreachable!("a row is found by what is in it"),
        }
    }
}

impl<O> Deref for Found<O> {
    type Target = Interface<O>;

    fn deref(&self) -> &Interface<O> {
        self.arc()
    }
}

impl<O: fmt::Debug> fmt::Debug for Found<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("confidence", &self.confidence).field("interface", self.arc()).finish()
    }
}

/// The answer to [`Lookup::name_for_index_and_mac`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The interface's name.
    pub name: IfName,
    /// What it rests on.
    pub confidence: Confidence,
}

/// What an answer rests on, surest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// Several fit and one was picked, or only the kernel knows the number, in the own namespace.
    Guess,
    /// Several fit and a rule prefers this one's name for the MAC's prefix.
    Preferred,
    /// Only this one fits.
    Exact,
}

impl Confidence {
    /// `guess`, `preferred` or `exact`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Preferred => "preferred",
            Self::Exact => "exact",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which namespace a lookup is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetnsRef<'a> {
    /// The one with this identity.
    Id(NetnsId),
    /// The host's.
    Host,
    /// The one that has this name now; when it was made again, the newer one.
    Named(&'a [u8]),
}

impl NetnsRef<'_> {
    /// Whether this is the namespace meant.
    #[must_use]
    pub fn is(&self, netns: &Netns) -> bool {
        match self {
            Self::Id(id) => netns.id == *id,
            Self::Host => netns.is_host(),
            Self::Named(name) => netns.name().is_some_and(|its| its.as_bytes() == *name),
        }
    }
}

impl From<NetnsId> for NetnsRef<'_> {
    fn from(id: NetnsId) -> Self {
        Self::Id(id)
    }
}

impl<'a> From<&'a Place> for NetnsRef<'a> {
    fn from(place: &'a Place) -> Self {
        match place {
            Place::Host => Self::Host,
            Place::Named(name) => Self::from(name),
        }
    }
}

impl<'a> From<&'a NetnsName> for NetnsRef<'a> {
    fn from(name: &'a NetnsName) -> Self {
        Self::Named(name.as_bytes())
    }
}

impl<'a> From<&'a str> for NetnsRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Named(name.as_bytes())
    }
}
