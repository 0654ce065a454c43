//! Width and colours of standard output.

use std::io::IsTerminal;

use ratatui::crossterm::terminal;

use super::table::Layout;

/// The terminal that standard output is connected to.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Columns of the terminal; `None` for a pipe or a file, to which lines of any width can be written.
    pub width: Option<usize>,
    /// Whether colours are wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub colour: bool,
}

/// The least width of a table on a terminal.
const USUAL: usize = 80;

impl Terminal {
    /// Reads the size of the terminal that standard output is connected to.
    #[must_use]
    pub fn detect() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self { width: None, colour: false };
        }
        let width = terminal::size().map_or(USUAL, |(columns, _)| usize::from(columns).max(USUAL));
        Self { width: Some(width), colour: colour_allowed() }
    }

    /// A table that fits.
    #[must_use]
    pub fn layout(self) -> Layout {
        Layout { width: self.width, colour: self.colour, headers: true }
    }
}

/// Whether the user allows colours: `NO_COLOR` is empty or unset (no-color.org), and the terminal has colours.
#[must_use]
pub fn colour_allowed() -> bool {
    let set = |name| std::env::var_os(name).filter(|text| !text.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Whether the locale encodes characters as UTF-8, in the order of precedence of `setlocale(3)`.
#[must_use]
pub fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
