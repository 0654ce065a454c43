//! The one table of settings: flags, environment, file, defaults and documentation come from it.

mod export;
mod filtering;
mod finding;
mod owners;
mod program;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::kind::{Env, Section, Setting, Unit};

/// All settings, in the order of the documentation.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    Section::ALL.into_iter().flat_map(of)
}

/// The settings of a section.
pub(super) fn of(section: Section) -> &'static [Setting] {
    match section {
        Section::Finding => finding::SETTINGS,
        Section::Filtering => filtering::SETTINGS,
        Section::Owners => owners::SETTINGS,
        Section::Export => export::SETTINGS,
        Section::Program => program::SETTINGS,
    }
}

const fn own(name: &'static str) -> Env<'static> {
    Env { name, unit: Unit::Own }
}

fn one(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

fn some(words: &[String]) -> Option<String> {
    words.first().filter(|word| !word.is_empty()).cloned()
}

fn address(words: &[String]) -> Result<Option<SocketAddr>, String> {
    let Some(text) = some(words) else { return Ok(None) };
    let address = text.parse();
    address.map(Some).map_err(|_| format!("{text:?} is not an address: write one like 127.0.0.1:9465 or [::]:9465"))
}

fn choice(text: &str, choices: &str) -> String {
    format!("{text:?} is not {choices}")
}

fn absolute(text: impl AsRef<str>) -> Result<PathBuf, String> {
    let text = text.as_ref();
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("{text:?} is not an absolute path")) }
}
