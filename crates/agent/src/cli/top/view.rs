//! State of the screen: rows, their order, and keys. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::cli::rates::{Flow, Rate, Rates};
use crate::interface::{End, Interface, Owner};

/// Readings in the column of the past.
pub(super) const PAST: usize = 10;
/// Rows per page key.
const PAGE: usize = 10;

/// Sort order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Bytes,
    Packets,
    Dropped,
    Errors,
}

impl Order {
    pub(super) fn of(self, rate: &Rate) -> f64 {
        let pick = |flow: &Flow| match self {
            Self::Bytes => flow.bytes,
            Self::Packets => flow.packets,
            Self::Dropped => flow.dropped,
            Self::Errors => flow.errors,
        };
        pick(&rate.receive) + pick(&rate.transmit)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Dropped => "drops",
            Self::Errors => "errors",
        }
    }
}

/// Content of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// A row per interface.
    #[default]
    Interface,
    /// A row per pod or container, and per namespace without either.
    Pod,
}

/// Subject of a row.
#[derive(Debug)]
pub(super) enum Subject {
    /// An interface.
    Interface(Arc<Interface>),
    /// All interfaces in the namespace of a pod or container, or in a namespace without an owner.
    Group {
        /// Name of the owner, if known.
        owner: Option<String>,
        /// The namespace.
        netns: String,
        /// Count of the interfaces.
        interfaces: usize,
    },
}

/// A row; a subject that was read only once has no rate yet.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) subject: Subject,
    pub(super) rate: Option<Rate>,
    /// Values by the sort order, the latest last.
    pub(super) past: Vec<f64>,
}

/// Sums of the interfaces on the screen; `None` without such an interface.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// In namespaces of pods and all other namespaces but the host's.
    pub(super) pods: Option<Rate>,
    /// Links of the host's namespace without a kind, which are NICs.
    pub(super) nics: Option<Rate>,
}

/// State of the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) interfaces: Vec<Arc<Interface>>,
    /// The latest rates, the newest last.
    pub(super) past: VecDeque<Rates>,
    pub(super) rows: Vec<Row>,
    pub(super) totals: Totals,
    pub(super) order: Order,
    pub(super) by: By,
    pub(super) skipped: usize,
    pub(super) help: bool,
    /// Whether to use colours.
    pub(super) colour: bool,
    /// Whether the terminal shows more than ASCII.
    pub(super) utf8: bool,
}

impl View {
    /// Takes in the interfaces and, from the second reading on, their rates.
    pub(super) fn show(&mut self, interfaces: Vec<Arc<Interface>>, rates: Option<Rates>) {
        self.interfaces = interfaces;
        if let Some(rates) = rates {
            self.past.push_back(rates);
            self.past.drain(..self.past.len().saturating_sub(PAST));
        }
        self.totals = self.totals();
        self.arrange();
    }

    /// Handles a key; returns whether to quit.
    pub(super) fn quits(&mut self, key: KeyEvent) -> bool {
        if key.kind != KeyEventKind::Press {
            return false;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return true;
        }
        // Any key closes the help, and does nothing else.
        if std::mem::take(&mut self.help) {
            return false;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('b') => self.order = Order::Bytes,
            KeyCode::Char('p') => self.order = Order::Packets,
            KeyCode::Char('d') => self.order = Order::Dropped,
            KeyCode::Char('e') => self.order = Order::Errors,
            KeyCode::Char('g') => self.by = if self.by == By::Pod { By::Interface } else { By::Pod },
            KeyCode::Down => self.skipped += 1,
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped += PAGE,
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            KeyCode::End => self.skipped = usize::MAX,
            _ => {}
        }
        self.arrange();
        false
    }

    /// Makes the rows again.
    fn arrange(&mut self) {
        self.rows = match self.by {
            By::Interface => {
                self.interfaces.iter().map(|one| self.row(Subject::Interface(one.clone()), &[one])).collect()
            }
            By::Pod => self.groups(),
        };
        // Stable, so that idle rows stay where they are.
        let of = |row: &Row| row.rate.as_ref().map_or(0.0, |rate| self.order.of(rate));
        self.rows.sort_by(|a, b| of(b).total_cmp(&of(a)));
        self.skipped = self.skipped.min(self.rows.len().saturating_sub(1));
    }

    fn groups(&self) -> Vec<Row> {
        let mut groups: BTreeMap<(Option<String>, String), Vec<&Arc<Interface>>> = BTreeMap::new();
        for interface in self.interfaces.iter().filter(|interface| is_inside(interface)) {
            let owner = interface.owner.as_deref().map(Owner::to_string);
            groups.entry((owner, interface.netns.place.to_string())).or_default().push(interface);
        }
        let row = |((owner, netns), interfaces): (_, Vec<_>)| {
            self.row(Subject::Group { owner, netns, interfaces: interfaces.len() }, &interfaces)
        };
        groups.into_iter().map(row).collect()
    }

    /// The row of these interfaces together.
    fn row(&self, subject: Subject, interfaces: &[&Arc<Interface>]) -> Row {
        let past = self.past.iter().map(|rates| sum(rates, interfaces).map_or(0.0, |rate| self.order.of(&rate)));
        Row { subject, rate: self.past.back().and_then(|rates| sum(rates, interfaces)), past: past.collect() }
    }

    fn totals(&self) -> Totals {
        let Some(rates) = self.past.back() else { return Totals::default() };
        let of = |chosen: fn(&Interface) -> bool| {
            sum(rates, &self.interfaces.iter().filter(|interface| chosen(interface)).collect::<Vec<_>>())
        };
        Totals { pods: of(is_inside), nics: of(|one| one.netns.is_host() && one.kind.is_none() && !is_loopback(one)) }
    }
}

/// Sum over the interfaces that have a rate; `None` where none has.
fn sum(rates: &Rates, interfaces: &[&Arc<Interface>]) -> Option<Rate> {
    let each = interfaces.iter().filter_map(|interface| rates.get(&interface.id).copied());
    each.reduce(|mut sum, rate| {
        sum += rate;
        sum
    })
}

/// Whether the interface is inside of a pod or container, or of another namespace than the host's. The host's end of a
/// pod's link would count the same packets again.
fn is_inside(interface: &Interface) -> bool {
    let inner_end = interface.owner.as_deref().is_none_or(|owner| owner.end() == End::Pod);
    !interface.netns.is_host() && inner_end && !is_loopback(interface)
}

fn is_loopback(interface: &Interface) -> bool {
    interface.name == *"lo"
}
