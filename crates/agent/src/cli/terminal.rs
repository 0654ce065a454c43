//! What standard output is connected to.

use std::io::IsTerminal;

use ratatui::crossterm::terminal;

use super::table::Layout;

/// What may be written to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Columns of text there is room for.
    pub width: usize,
    /// Whether colours are wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub colour: bool,
}

/// Room that every terminal has, and what is written to a pipe.
const USUAL: usize = 80;

impl Terminal {
    /// Asks the terminal, if it is one.
    #[must_use]
    pub fn detect() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self { width: USUAL, colour: false };
        }
        let width = terminal::size().map_or(USUAL, |(columns, _)| usize::from(columns).max(USUAL));
        let set = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        let colour = set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb");
        Self { width, colour }
    }

    /// A table that fits.
    #[must_use]
    pub fn layout(self) -> Layout {
        Layout { width: Some(self.width), colour: self.colour, headers: true }
    }
}
