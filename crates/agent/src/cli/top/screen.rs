//! Draws what `top` shows.

use crate::interface::{End, Interface};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table};

use super::View;
use super::rates::{Rate, short};
use crate::cli::table::{self, Cell, Column};

/// Content of a column.
enum Field {
    /// Identity of the interface.
    Text(fn(&Interface) -> String),
    /// Throughput; `-` before the second reading.
    Number(fn(&Rate) -> f64),
}

/// Least important last: a screen too narrow for all of them shows the first ones.
const COLUMNS: [(Column, Field); 9] = [
    (name("INTERFACE", None), Field::Text(|interface| interface.name.to_string())),
    (name("NETNS", Some(8)), Field::Text(|interface| interface.netns.place.to_string())),
    (name("POD", Some(13)), Field::Text(pod)),
    (number("RX B/s"), Field::Number(|rate| rate.receive.bytes)),
    (number("TX B/s"), Field::Number(|rate| rate.transmit.bytes)),
    (number("DROP/s"), Field::Number(|rate| rate.receive.dropped + rate.transmit.dropped)),
    (number("ERR/s"), Field::Number(|rate| rate.receive.errors + rate.transmit.errors)),
    (number("RX p/s"), Field::Number(|rate| rate.receive.packets)),
    (number("TX p/s"), Field::Number(|rate| rate.transmit.packets)),
];

const fn name(heading: &'static str, shrinks_to: Option<usize>) -> Column {
    Column { heading, shrinks_to }
}

const fn number(heading: &'static str) -> Column {
    Column { heading, shrinks_to: None }
}

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let [title, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
    let words =
        format!("netns-agent top: {} interfaces by {}  (b p d e: sort, q: quit)", view.rows.len(), view.order.word());
    frame.render_widget(Line::styled(words, Modifier::BOLD), title);
    // Widths from all rows, so that columns stay where they are while one scrolls.
    let cells: Vec<Vec<Cell>> = view.rows.iter().map(|(interface, rate)| row(interface, rate.as_ref())).collect();
    let shown = fitting(&cells, usize::from(body.width));
    let rows = cells.iter().skip(view.skipped).take(usize::from(body.height)).map(|row| line(row, &shown));
    let header =
        COLUMNS.iter().zip(&shown).map(|((column, field), width)| aligned(column.heading.to_owned(), field, *width));
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = shown.iter().map(|width| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    frame.render_widget(Table::new(rows, widths).header(header), body);
}

/// Widths of the columns that fit; the identity of an interface is always shown.
fn fitting(rows: &[Vec<Cell>], room: usize) -> Vec<usize> {
    const LEAST: usize = 1;
    let columns: Vec<_> = COLUMNS.iter().map(|(column, _)| *column).collect();
    let layout = table::Layout { width: Some(room), colour: false, headers: true };
    let widths = |count: usize| table::widths(columns.get(..count).unwrap_or_default(), rows, layout);
    let fits = |widths: &Vec<usize>| widths.iter().sum::<usize>() + widths.len() - 1 <= room;
    (LEAST..=columns.len()).rev().map(widths).find(fits).unwrap_or_else(|| vec![room])
}

fn row(interface: &Interface, rate: Option<&Rate>) -> Vec<Cell> {
    let text = |field: &Field| match (field, rate) {
        (Field::Text(field), _) => field(interface),
        (Field::Number(field), Some(rate)) => short(field(rate)),
        (Field::Number(_), None) => "-".to_owned(),
    };
    COLUMNS.iter().map(|(_, field)| Cell::new(&text(field))).collect()
}

fn line(cells: &[Cell], widths: &[usize]) -> Row<'static> {
    let each = cells.iter().zip(&COLUMNS).zip(widths);
    Row::new(each.map(|((cell, (_, field)), width)| aligned(cell.within(*width), field, *width)))
}

fn aligned(text: String, field: &Field, width: usize) -> Line<'static> {
    match field {
        Field::Text(_) => Line::from(text),
        Field::Number(_) => Line::from(format!("{text:>width$}")),
    }
}

fn pod(interface: &Interface) -> String {
    let pod = interface.owner.as_deref().map(|owner| {
        let arrow = if owner.end() == End::Host { "→ " } else { "" };
        format!("{arrow}{owner}")
    });
    pod.unwrap_or_else(|| "-".to_owned())
}
