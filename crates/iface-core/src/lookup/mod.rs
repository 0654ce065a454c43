//! Lookups of interfaces by index, MAC address, name, namespace and id.

pub(crate) mod kernel;
pub(crate) mod preferred;
pub(crate) mod registerer;
pub(crate) mod table;

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use crate::lookup::kernel::KernelNames;
use crate::lookup::table::{CachedTable, Hit, Key, LoadEachTime, Occupant, Row, Shared, Tables, View};
use crate::{IfName, Interface, InterfaceId, MacAddr, Netns, NetnsId, NetnsName, Place};

/// Looks up interfaces from any thread, while a [`Registerer`](crate::Registerer) follows the
/// events.
///
/// Cheap to clone; all clones share one table. No method waits for a lock or for the thread that
/// applies events (a fallback to the kernel waits for the kernel), and methods allocate only where
/// documented; the work of a lookup is bounded by the size of the table. A lookup beside a change answers with the state before or after the change.
/// After the end of the `Registerer` the table stays unchanged.
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

// A derived `Clone` would require an owner with `Clone`.
impl<O> Clone for Lookup<O> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), kernel: self.kernel.clone() }
    }
}

impl<O> Lookup<O> {
    /// Look up the name of an interface by index and MAC address.
    ///
    /// As [`for_index_and_mac`](Self::for_index_and_mac), with a fallback to the kernel for an unknown
    /// ifindex, if [`LookupOptions`](crate::LookupOptions) name a fallback; the kernel's name counts as a
    /// guess. Each ifindex is requested at most once a second, and all together at most a hundred times a
    /// second; beyond the limit the result is `None` without a request. A request allocates and waits for
    /// the kernel, and concurrent requests of the same ifindex share one reply.
    #[must_use]
    pub fn name_for_index_and_mac(&self, ifindex: u32, mac: Option<&MacAddr>) -> Option<Answer> {
        self.name(&mut LoadEachTime, ifindex, mac)
    }

    /// A faster [`Lookup`] for one thread, for example for a lookup per packet.
    #[must_use]
    pub fn reader(&self) -> Reader<O> {
        Reader { kept: CachedTable::new(&self.shared), lookup: self.clone() }
    }

    /// Look up an interface by index and MAC address.
    ///
    /// 1. A single interface with this ifindex: the interface, whatever the MAC address.
    /// 2. Several interfaces with this ifindex: the interface with this MAC address.
    /// 3. None with this MAC address: the interface with the name preferred for the MAC's prefix.
    /// 4. No rule for the prefix: the host's interface, else the first by name of the namespace.
    ///
    /// Rule 4 also decides between several interfaces left by rules 2 and 3. The MAC address of a packet
    /// often belongs to the peer or to a router, so rules 1 and 4 need no match.
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

    /// The interface with this ifindex in a namespace.
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

    /// The interface with this name; a guess if several namespaces have the name.
    #[must_use]
    pub fn by_name(&self, name: &IfName) -> Option<Found<O>> {
        self.by(&Key::Name(name))
    }

    /// The interface with this MAC address; a guess if several interfaces share the address.
    #[must_use]
    pub fn by_mac(&self, mac: &MacAddr) -> Option<Found<O>> {
        self.by(&Key::Mac(mac))
    }

    /// The interface with this id; `None` after the deletion.
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
    /// Interfaces that exist throughout the call are visited once, others at most once.
    pub fn for_each(&self, visit: impl FnMut(&Arc<Interface<O>>)) {
        self.shared.for_each(visit);
    }

    /// Every interface, collected by [`for_each`](Self::for_each). Allocates the vector.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Arc<Interface<O>>> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each(|interface| all.push(interface.clone()));
        all
    }

    /// Number of interfaces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A [`Lookup`] for one thread, without reference counting per lookup.
///
/// A reader keeps the table of its last lookup alive: an idle reader keeps the memory of deleted
/// interfaces.
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

/// The result of a lookup: an interface at the moment of the lookup, and the confidence.
///
/// Dereferences to the [`Interface`]. Meant to be read and dropped; take the [`Arc`] to keep the
/// interface.
pub struct Found<O = ()> {
    // Never `None`: a lookup skips empty slots.
    row: Row<O>,
    /// Confidence of the result.
    pub confidence: Confidence,
}

impl<O> Found<O> {
    /// The interface, for keeping.
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

/// The result of [`Lookup::name_for_index_and_mac`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Name of the interface.
    pub name: IfName,
    /// Confidence of the result.
    pub confidence: Confidence,
}

impl Answer {
    /// A name with its confidence.
    #[must_use]
    pub fn new(name: IfName, confidence: Confidence) -> Self {
        Self { name, confidence }
    }
}

/// Confidence of a lookup's result, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// Picked among several matches, or known to the kernel alone, in the own namespace.
    Guess,
    /// Picked among several matches by a rule for the MAC's prefix.
    Preferred,
    /// The only match.
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

/// Namespace of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetnsRef<'a> {
    /// The namespace with this identity.
    Id(NetnsId),
    /// The host's namespace.
    Host,
    /// The namespace with this name now; the newer of two.
    Named(&'a [u8]),
    /// The namespace without a name that has this nsid now; the newer of two.
    Nsid(i32),
    /// The namespace with this inode now; the newer of two.
    Inode(u64),
    /// The namespace with this cookie.
    Cookie(NonZeroU64),
}

impl<'a> NetnsRef<'a> {
    /// All namespaces that a text of a user can mean, the first meaning first: `host`, a name, the inode as in
    /// `net:[4026532461]` or the number alone, a cookie, or an nsid as in `nsid:7`.
    ///
    /// ```
    /// use iface_core::NetnsRef;
    ///
    /// assert!(NetnsRef::meanings("net:[4026532461]").any(|netns| netns == NetnsRef::Inode(4026532461)));
    /// assert_eq!(NetnsRef::meanings("host").next(), Some(NetnsRef::Host));
    /// ```
    pub fn meanings(text: &'a str) -> impl Iterator<Item = Self> {
        let inode = text.strip_prefix("net:[").and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok();
        let nsid = text.strip_prefix("nsid:").and_then(|nsid| nsid.parse().ok());
        [
            (text == "host").then_some(Self::Host),
            Some(Self::from(text)),
            inode.map(Self::Inode),
            text.parse().ok().map(Self::Cookie),
            nsid.map(Self::Nsid),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether the reference means this namespace.
    #[must_use]
    pub fn is(&self, netns: &Netns) -> bool {
        match self {
            Self::Id(id) => netns.id == *id,
            Self::Host => netns.is_host(),
            Self::Named(name) => netns.name().is_some_and(|its| its.as_bytes() == *name),
            Self::Nsid(nsid) => netns.place == Place::Nsid(*nsid),
            Self::Inode(inode) => netns.inode() == Some(*inode),
            Self::Cookie(cookie) => netns.cookie == Some(*cookie),
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
            Place::Inode(inode) => Self::Inode(*inode),
            Place::Nsid(nsid) => Self::Nsid(*nsid),
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
