//! What a setting is: its names, its place, how its text is read.

use super::Config;
use super::table::SETTINGS;
use super::value::{list, patterns};

/// One thing a user can set.
#[derive(Debug)]
pub struct Setting {
    /// Its name: the flag, the key in the file, upper case with `NETNS_AGENT_` in the environment.
    pub key: &'static str,
    /// What it is about.
    pub section: Section,
    /// One word or a list.
    pub shape: Shape,
    /// What stands for the value in help: a kind of value, or the choices with `|`.
    pub value: &'static str,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    /// Variables of the environment that other programs use for the same.
    pub also: &'static [Env<'static>],
    /// One or two sentences.
    pub help: &'static str,
    /// Puts the words into the configuration, or says what is wrong with them.
    pub set: fn(&mut Config, &[String]) -> Result<(), String>,
}

/// A variable of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its value is written.
    pub unit: Unit,
}

/// How a variable writes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As the setting itself.
    Own,
    /// Milliseconds without a unit, as OpenTelemetry's variables do.
    Milliseconds,
    /// As OpenTelemetry specifies; read by the exporter, with the forms of each signal.
    Otlp,
}

/// What a setting is about: a heading in help and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Which namespaces and how.
    Finding,
    /// Which interfaces.
    Filtering,
    /// Whose they are.
    Owners,
    /// What leaves, how and when.
    Export,
    /// The program itself.
    Program,
}

/// How the text of a setting is taken apart.
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
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Its variable in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("NETNS_AGENT_{}", self.key.replace('-', "_").to_uppercase())
    }
}

impl Shape {
    /// The words of a text; a list that is nothing has none.
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
    /// Says that it is no number of milliseconds.
    pub fn read(self, text: &str) -> Result<String, String> {
        match self {
            Self::Own | Self::Otlp => Ok(text.to_owned()),
            Self::Milliseconds => match text.parse::<u64>() {
                Ok(number) => Ok(format!("{number}ms")),
                Err(_) => Err(format!("{text:?} is no number of milliseconds")),
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
