//! Names and messages as text for people.

use std::fmt::{self, Write};

/// Displays a value in one line that cannot control a terminal or reorder the text around it: control characters
/// and characters that reorder or hide text are escaped. Names come from pods, files and other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

/// Escapes everything that is written.
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c| !is_plain(c)) {
            let (plain, odd) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = odd.chars();
            if let Some(c) = chars.next() {
                write!(self.0, "{}", c.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

fn is_plain(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX #9), zero-width
    // characters, line and paragraph separators.
    let reorders_or_hides = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !reorders_or_hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_reordering_are_escaped() {
        for (text, shown) in [
            ("eth0", "eth0"),
            ("späte-Grüße", "späte-Grüße"),
            ("a\nb\x1b[2J", r"a\nb\u{1b}[2J"),
            ("a\u{202e}b\u{200b}", r"a\u{202e}b\u{200b}"),
            ("\u{9b}1m", r"\u{9b}1m"),
            (r"a\x1b", r"a\x1b"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }
}
