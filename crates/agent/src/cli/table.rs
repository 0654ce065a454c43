//! Tables whose columns fit a width.

use crate::printable::Printable;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    /// Least width of the column in a table that is too wide; `None`: never cut.
    pub shrinks_to: Option<usize>,
}

/// One field of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

/// Meaning of a field's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// A good state.
    Good,
    /// A bad state.
    Bad,
    /// Needs no attention.
    Faint,
}

impl Cell {
    /// A field with the text, made [`Printable`].
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: Printable(text).to_string(), colour: None }
    }

    /// The text in at most `width` characters; the middle gives way, as names differ at their ends.
    #[must_use]
    pub fn within(&self, width: usize) -> String {
        let length = self.text.chars().count();
        if length <= width {
            return self.text.clone();
        }
        let kept = width.saturating_sub(1);
        let tail = kept / 3;
        let head = self.text.chars().take(kept - tail);
        head.chain(['…']).chain(self.text.chars().skip(length - tail)).collect()
    }

    /// The same in a colour.
    #[must_use]
    pub fn coloured(self, colour: Colour) -> Self {
        Self { colour: Some(colour), ..self }
    }
}

/// Layout of a table.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Available width in characters; `None`: unlimited.
    pub width: Option<usize>,
    /// Whether to use colours.
    pub colour: bool,
    /// Whether to write the headings.
    pub headers: bool,
}

/// Width of each column in characters.
#[must_use]
pub fn widths(columns: &[Column], rows: &[Vec<Cell>], layout: Layout) -> Vec<usize> {
    let widest = |(n, column): (usize, &Column)| {
        let heading = if layout.headers { column.heading.len() } else { 0 };
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.text.chars().count()).fold(heading, usize::max)
    };
    let mut widths: Vec<_> = columns.iter().enumerate().map(widest).collect();
    let Some(room) = layout.width else { return widths };
    let room = room.saturating_sub(columns.len().saturating_sub(1));
    // The widest column that may shrink gives way first, so that short ones stay whole.
    while widths.iter().sum::<usize>() > room {
        let widest = (columns.iter().zip(&mut widths))
            .filter(|(column, width)| column.shrinks_to.is_some_and(|least| **width > least))
            .max_by_key(|(_, width)| **width);
        match widest {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
    widths
}

/// The table as lines, each ended.
#[must_use]
pub fn render(columns: &[Column], rows: &[Vec<Cell>], layout: Layout) -> String {
    let widths = widths(columns, rows, layout);
    let headings: Vec<_> = columns.iter().map(|column| Cell::new(column.heading)).collect();
    let lines = layout.headers.then_some(&headings).into_iter().chain(rows);
    lines.map(|cells| line(cells, &widths, layout.colour)).collect()
}

/// The table as lines of fields with tabs between them, each ended. A field has no tab, as a [`Cell`] is printable.
#[must_use]
pub fn tabs(columns: &[Column], rows: &[Vec<Cell>], headers: bool) -> String {
    let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
    let fields = |row: &Vec<Cell>| row.iter().map(|cell| &*cell.text).collect::<Vec<_>>().join("\t");
    let lines = headers.then(|| headings.join("\t")).into_iter().chain(rows.iter().map(fields));
    lines.map(|line| line + "\n").collect()
}

fn line(cells: &[Cell], widths: &[usize], colour: bool) -> String {
    let mut line = String::new();
    let mut gap = 0;
    for (cell, width) in cells.iter().zip(widths) {
        let text = cell.within(*width);
        let used = text.chars().count();
        line.extend(std::iter::repeat_n(' ', gap));
        match cell.colour.filter(|_| colour) {
            Some(colour) => line.extend([colour.escape(), &text, "\x1b[0m"]),
            None => line.push_str(&text),
        }
        gap = width - used + 1;
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

impl Colour {
    /// The escape sequence that begins the colour; `\x1b[0m` ends the colour.
    pub(super) fn escape(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Faint => "\x1b[2m",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { heading: "NETNS", shrinks_to: Some(6) },
        Column { heading: "NAME", shrinks_to: None },
        Column { heading: "POD", shrinks_to: Some(6) },
    ];

    fn row(cells: [&str; 3]) -> Vec<Cell> {
        cells.map(Cell::new).into()
    }

    fn plain(width: Option<usize>) -> Layout {
        Layout { width, colour: false, headers: true }
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = [row(["host", "eth0", "-"]), row(["blue", "a-long-name", ""])];
        assert_eq!(
            render(&COLUMNS, &rows, plain(None)),
            "NETNS NAME        POD\nhost  eth0        -\nblue  a-long-name\n"
        );
    }

    #[test]
    fn widest_columns_are_cut_in_the_middle() {
        let rows = [row(["cni-0d6c2b1a-7777-8888", "eth0", "default/web-0"])];
        let text = render(&COLUMNS, &rows, plain(Some(30)));
        assert_eq!(text.lines().map(|line| line.chars().count()).max(), Some(30), "{text}");
        assert!(text.contains("eth0"), "{text}");
        assert!(text.contains("cni-0d") && text.contains("888 "), "{text}");
    }

    #[test]
    fn fixed_columns_are_never_cut() {
        let rows = [row(["cni-0d6c2b1a", "fifteen-bytes-x", "default/web-0"])];
        assert!(render(&COLUMNS, &rows, plain(Some(10))).contains("fifteen-bytes-x"));
    }

    #[test]
    fn control_characters_are_escaped() {
        let rows = [row(["blue\x1b[2J", "a\nb", "-"])];
        let text = render(&COLUMNS, &rows, plain(None));
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(r"blue\u{1b}[2J") && text.contains(r"a\nb"), "{text}");
    }

    #[test]
    fn tabs_only_part_fields() {
        let rows = [row(["host", "et\th0", "-"]), row(["blue", "eth1", "→ default/web-0"])];
        assert_eq!(tabs(&COLUMNS, &rows, true), "NETNS\tNAME\tPOD\nhost\tet\\th0\t-\nblue\teth1\t→ default/web-0\n");
        assert_eq!(tabs(&COLUMNS, &rows[..1], false), "host\tet\\th0\t-\n");
    }

    #[test]
    fn colours_take_no_room() {
        let rows = [vec![Cell::new("up").coloured(Colour::Good), Cell::new("x"), Cell::default()]];
        let layout = Layout { width: None, colour: true, headers: false };
        assert_eq!(render(&COLUMNS, &rows, layout), "\x1b[32mup\x1b[0m x\n");
    }
}
