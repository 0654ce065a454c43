//! The kind of a setting: its names, its section and its syntax.

use super::Config;
use super::table::settings;
use super::value::{list, patterns};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name: the flag, the key in the file, upper case with `NETNS_AGENT_` in the environment.
    pub key: &'static str,
    /// One word or a list.
    pub shape: Shape,
    /// Placeholder of the value in help: a type, or the choices with `|`.
    pub value: &'static str,
    /// Its text; empty for none.
    pub default: &'static str,
    /// Variables of the environment that other programs use for the same.
    pub also: &'static [Env<'static>],
    /// One or two sentences.
    pub help: &'static str,
    /// Whether a reload applies the setting.
    pub reloads: bool,
    /// Writes the words into the configuration, or returns the fault.
    pub set: fn(&mut Config, &[String]) -> Result<(), String>,
}

/// A variable of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Its name.
    pub name: &'a str,
    /// Unit of its value.
    pub unit: Unit,
}

/// Unit of a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As the setting itself.
    Own,
    /// Milliseconds without a unit, as OpenTelemetry's variables do.
    Milliseconds,
    /// As OpenTelemetry specifies; read by the exporter, with the forms of each signal.
    Otlp,
}

/// Section of a setting: a heading in help and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Network namespaces and the engine that reads them.
    Finding,
    /// Filters of interfaces.
    Filtering,
    /// Sources of owners.
    Owners,
    /// Exports.
    Export,
    /// The program itself.
    Program,
}

/// Syntax of a setting's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One word.
    One,
    /// Words between commas.
    List,
    /// Names and `/regular expressions/` between commas.
    Patterns,
}

impl Setting {
    /// The setting with this name.
    #[must_use]
    pub fn named(key: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.key == key)
    }

    /// Its variable in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("NETNS_AGENT_{}", self.key.replace('-', "_").to_uppercase())
    }
}

impl Shape {
    /// Splits a text into words; an empty list has none.
    #[must_use]
    pub fn split(self, text: &str) -> Vec<String> {
        match self {
            Self::One => vec![text.to_owned()],
            Self::List | Self::Patterns if text.is_empty() => Vec::new(),
            Self::List => list(text),
            Self::Patterns => patterns(text),
        }
    }
}

impl Unit {
    /// The value as the setting writes it.
    ///
    /// # Errors
    /// When the text is not a number of milliseconds.
    pub fn read(self, text: &str) -> Result<String, String> {
        match self {
            Self::Own | Self::Otlp => Ok(text.to_owned()),
            Self::Milliseconds => match text.parse::<u64>() {
                Ok(number) => Ok(format!("{number}ms")),
                Err(_) => Err(format!("{text:?} is not a number of milliseconds")),
            },
        }
    }
}

impl Section {
    /// In the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Finding, Self::Filtering, Self::Owners, Self::Export, Self::Program];

    /// Its heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Finding => "Finding namespaces",
            Self::Filtering => "Choosing interfaces",
            Self::Owners => "Finding owners",
            Self::Export => "Exporting",
            Self::Program => "The program",
        }
    }
}
