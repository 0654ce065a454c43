//! Writes families of samples in Prometheus' text format or in OpenMetrics.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::time::Duration;

use crate::export::prometheus::names::{escape, label};
use crate::metrics::points::{Counted, Nanos};

/// Format of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The response's `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// Labels, rendered: `a="b",c="d"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut labels = Self::default();
        for (key, value) in pairs {
            labels.push(key.as_ref(), value.as_ref());
        }
        labels
    }

    /// Labels of keys chosen by users, several of which can become the same label name. Such a label
    /// holds all values, joined by `;` in the order of the keys, according to OpenTelemetry's specification for
    /// Prometheus.
    pub(super) fn joined(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (label(&key), key, value)).collect();
        pairs.sort_unstable();
        let mut labels = Self::default();
        for same in pairs.chunk_by(|a, b| a.0 == b.0) {
            let values: Vec<_> = same.iter().map(|(_, _, value)| value.as_str()).collect();
            labels.push(&same[0].0, &values.join(";"));
        }
        labels
    }

    pub(super) fn push(&mut self, key: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&label(key));
        self.0.push_str("=\"");
        escape(value, &mut self.0);
        self.0.push('"');
    }

    /// Both sets of labels.
    pub(super) fn and(mut self, more: &Self) -> Self {
        if !self.0.is_empty() && !more.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&more.0);
        self
    }

    pub(super) fn with(&self, key: &str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.push(key, value);
        labels
    }
}

/// Writes a text, line by line.
#[derive(Debug)]
pub(super) struct Writer<W> {
    to: W,
    format: Format,
    shows_created: bool,
    /// Result of the lines so far; nothing is written after a failure.
    written: io::Result<()>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, format: Format, shows_created: bool) -> Self {
        Self { to, format, shows_created, written: Ok(()) }
    }

    /// Begins a family; all its samples must follow before the next family.
    pub(super) fn family(&mut self, name: &str, unit: &str, kind: Type, help: &str) {
        let suffix = match (self.format, kind) {
            (Format::Text, Type::Counter) => "_total",
            (Format::Text, Type::Info) => "_info",
            _ => "",
        };
        let kind = match (self.format, kind) {
            (_, Type::Counter) => "counter",
            (_, Type::Histogram) => "histogram",
            (Format::OpenMetrics, Type::Info) => "info",
            (_, Type::Gauge | Type::Info) => "gauge",
        };
        let escaped_help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name}{suffix} {escaped_help}"));
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    pub(super) fn sample(&mut self, name: &str, suffix: &str, labels: &Labels, value: impl Display) {
        self.sample_of(name, suffix, [labels, &Labels::default()], value);
    }

    /// Writes a sample with the labels of both sets.
    pub(super) fn sample_of(&mut self, name: &str, suffix: &str, labels: [&Labels; 2], value: impl Display) {
        let [first, second] = labels.map(|labels| &*labels.0);
        let comma = if first.is_empty() || second.is_empty() { "" } else { "," };
        if first.is_empty() && second.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.line(format_args!("{name}{suffix}{{{first}{comma}{second}}} {value}"));
        }
    }

    /// Writes a counter of an interface, with its start where known.
    pub(super) fn counter<const N: usize>(
        &mut self,
        name: &str,
        labels: [&Labels; 2],
        counted: &Counted<N>,
        slot: usize,
    ) {
        self.sample_of(name, "_total", labels, counted.values[slot]);
        if counted.complete {
            self.created(name, labels, counted.starts[slot]);
        }
    }

    /// Writes the start of the last counter or histogram, which has the same labels; only OpenMetrics has start times.
    pub(super) fn created(&mut self, name: &str, labels: [&Labels; 2], start: Nanos) {
        if self.format == Format::OpenMetrics && self.shows_created {
            let start = Duration::from_nanos(start);
            let seconds = format_args!("{}.{:09}", start.as_secs(), start.subsec_nanos()).to_string();
            self.sample_of(name, "_created", labels, seconds);
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.format == Format::OpenMetrics {
            self.line(format_args!("# EOF"));
        }
        self.written
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.written.is_ok() {
            self.written = writeln!(self.to, "{line}");
        }
    }
}
