//! Draws a screen as SVG, for the documents.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Size of a character in units of the picture, and the margin.
const WIDE: f64 = 8.4;
const HIGH: f64 = 18.0;
const MARGIN: f64 = 14.0;

const PAPER: &str = "#16191d";
const INK: &str = "#d7dce2";
const RED: &str = "#ff7b72";
const CYAN: &str = "#76d4e0";

/// The buffer as a picture: a rectangle for each reversed run of cells, a text for each run of cells of one style.
pub(super) fn svg(buffer: &Buffer, label: &str) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f64::from(columns) * WIDE + 2.0 * MARGIN, f64::from(rows) * HIGH + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        let cells: Vec<_> = (0..columns).filter_map(|column| buffer.cell((column, row))).collect();
        let mut at = 0;
        for run in cells.chunk_by(|a, b| style(a) == style(b)) {
            draw_run(&mut out, run, at, row);
            at += run.len();
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn style(cell: &Cell) -> (Color, Modifier) {
    (cell.fg, cell.modifier)
}

fn draw_run(out: &mut String, run: &[&Cell], column: usize, row: u16) {
    let Some(first) = run.first() else { return };
    let (colour, modifier) = style(first);
    let reversed = modifier.contains(Modifier::REVERSED);
    let text: String = run.iter().map(|cell| cell.symbol()).collect();
    let (x, y) = (MARGIN + column as f64 * WIDE, MARGIN + f64::from(row) * HIGH);
    if reversed {
        let width = run.len() as f64 * WIDE;
        writeln!(out, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HIGH}\" fill=\"{INK}\"/>")
            .unwrap();
    }
    let fill = match colour {
        _ if reversed => PAPER,
        Color::Red => RED,
        Color::Cyan => CYAN,
        _ => INK,
    };
    let weight = if modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    // A text of its own for each word, at its column whatever the font.
    for (start, word) in words(&text) {
        let (x, length) = (x + start as f64 * WIDE, word.chars().count() as f64 * WIDE);
        let (word, y) = (escaped(word), y + HIGH * 0.72);
        writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" fill=\"{fill}\"{weight}>{word}</text>"
        )
        .unwrap();
    }
}

/// Words with their columns.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut column = 0;
    let mut words = Vec::new();
    for part in text.split_inclusive(' ') {
        let word = part.trim_end();
        if !word.is_empty() {
            words.push((column, word));
        }
        column += part.chars().count();
    }
    words
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
