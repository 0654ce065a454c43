//! Draws what `top` shows.

use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Row as TableRow, Table};

use super::view::{By, PAST, Row, Subject, View};
use crate::cli::rates::{Rate, short};
use crate::cli::table::{self, Cell, Column};
use crate::interface::{End, Interface};

/// Content of a column.
enum Field {
    /// Identity of the subject.
    Text(fn(&Subject) -> String),
    /// Throughput; `-` before the second reading.
    Number(fn(&Rate) -> f64),
    /// As [`Field::Number`], but more than 0 is bad.
    Loss(fn(&Rate) -> f64),
    /// The latest values by the sort order.
    Past,
}

type Columns = [(Column, Field)];

const POD: (Column, Field) = (name("POD", Some(13)), Field::Text(pod));
const NETNS: (Column, Field) = (name("NETNS", Some(8)), Field::Text(netns));
const RECEIVED: (Column, Field) = (number("RX B/s"), Field::Number(|rate| rate.receive.bytes));
const SENT: (Column, Field) = (number("TX B/s"), Field::Number(|rate| rate.transmit.bytes));
const DROPPED: (Column, Field) = (number("DROP/s"), Field::Loss(Rate::dropped));
const FAULTY: (Column, Field) = (number("ERR/s"), Field::Loss(|rate| rate.receive.errors + rate.transmit.errors));
const PACKETS_RECEIVED: (Column, Field) = (number("RX p/s"), Field::Number(|rate| rate.receive.packets));
const PACKETS_SENT: (Column, Field) = (number("TX p/s"), Field::Number(|rate| rate.transmit.packets));
const LATEST: (Column, Field) = (name("PAST", None), Field::Past);

/// Least important last: a screen too narrow for all of them shows the first ones.
const INTERFACES: &Columns = &[
    (name("INTERFACE", None), Field::Text(interface)),
    NETNS,
    POD,
    RECEIVED,
    SENT,
    DROPPED,
    FAULTY,
    PACKETS_RECEIVED,
    PACKETS_SENT,
    LATEST,
];

const PODS: &Columns = &[
    POD,
    RECEIVED,
    SENT,
    DROPPED,
    FAULTY,
    PACKETS_RECEIVED,
    PACKETS_SENT,
    LATEST,
    (number("IFACES"), Field::Text(interface)),
    NETNS,
];

const KEYS: &[&str] = &[
    "b p d e   sort by bytes, packets,",
    "          drops, errors",
    "g         group by pod, or not",
    "arrows    scroll, as do page up,",
    "          page down, home, end",
    "?         this help",
    "q         quit",
];

const fn name(heading: &'static str, shrinks_to: Option<usize>) -> Column {
    Column { heading, shrinks_to }
}

const fn number(heading: &'static str) -> Column {
    Column { heading, shrinks_to: None }
}

/// Least height of a screen with totals.
const WITH_TOTALS: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let totals = u16::from(frame.area().height >= WITH_TOTALS);
    let [title, body, last] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(totals)]).areas(frame.area());
    let subjects = match view.by {
        By::Interface => "interfaces",
        By::Pod => "pods and namespaces",
    };
    let words = format!("netns-agent top: {} {subjects} by {}  (?: keys)", view.rows.len(), view.order.word());
    frame.render_widget(Line::styled(words, Modifier::BOLD), title);
    draw_rows(frame, view, body);
    frame.render_widget(Line::styled(sums(view), Modifier::BOLD), last);
    if view.help {
        draw_keys(frame, frame.area());
    }
}

fn draw_rows(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let columns = match view.by {
        By::Interface => INTERFACES,
        By::Pod => PODS,
    };
    // Widths from all rows, so that columns stay where they are while one scrolls.
    let cells: Vec<Vec<Cell>> = view.rows.iter().map(|row| fields(row, columns, view.utf8)).collect();
    let shown = fitting(columns, &cells, usize::from(area.width));
    let rows = cells.iter().zip(&view.rows).skip(view.skipped).take(usize::from(area.height));
    let rows = rows.map(|(cells, row)| line(cells, row, columns, &shown, view.colour));
    let header = columns.iter().zip(&shown);
    let header = header.map(|((column, field), width)| Line::from(aligned(column.heading.to_owned(), field, *width)));
    let header = TableRow::new(header).style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = shown.iter().map(|width| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect) {
    let width = KEYS.iter().map(|line| line.len()).max().unwrap_or_default() + 4;
    let (width, height) = (u16::try_from(width).unwrap_or(u16::MAX), u16::try_from(KEYS.len() + 2).unwrap_or(u16::MAX));
    let [area] = Layout::vertical([Constraint::Length(height)]).flex(Flex::Center).areas(area);
    let [area] = Layout::horizontal([Constraint::Length(width)]).flex(Flex::Center).areas(area);
    frame.render_widget(Clear, area);
    let lines: Vec<_> = KEYS.iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), area);
}

/// Widths of the columns that fit; the identity of an interface is always shown.
fn fitting(columns: &Columns, rows: &[Vec<Cell>], room: usize) -> Vec<usize> {
    const LEAST: usize = 1;
    let columns: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
    let layout = table::Layout { width: Some(room), colour: false, headers: true };
    let widths = |count: usize| table::widths(columns.get(..count).unwrap_or_default(), rows, layout);
    let fits = |widths: &Vec<usize>| widths.iter().sum::<usize>() + widths.len() - 1 <= room;
    (LEAST..=columns.len()).rev().map(widths).find(fits).unwrap_or_else(|| vec![room])
}

fn fields(row: &Row, columns: &Columns, utf8: bool) -> Vec<Cell> {
    let text = |field: &Field| match (field, &row.rate) {
        (Field::Text(field), _) => field(&row.subject),
        (Field::Number(field) | Field::Loss(field), Some(rate)) => short(field(rate)),
        (Field::Number(_) | Field::Loss(_), None) => "-".to_owned(),
        (Field::Past, _) => sparkline(&row.past, utf8),
    };
    columns.iter().map(|(_, field)| Cell::new(&text(field))).collect()
}

fn line(cells: &[Cell], row: &Row, columns: &Columns, widths: &[usize], colour: bool) -> TableRow<'static> {
    let each = cells.iter().zip(columns).zip(widths);
    TableRow::new(each.map(|((cell, (_, field)), width)| {
        let text = aligned(cell.within(*width), field, *width);
        match (field, &row.rate) {
            (Field::Loss(field), Some(rate)) if colour && field(rate) >= 0.5 => Line::styled(text, Color::Red),
            (Field::Past, _) if colour => Line::styled(text, Color::Cyan),
            _ => Line::from(text),
        }
    }))
}

fn aligned(text: String, field: &Field, width: usize) -> String {
    match field {
        Field::Text(_) | Field::Past => text,
        Field::Number(_) | Field::Loss(_) => format!("{text:>width$}"),
    }
}

/// The values as bars of eight heights, relative to the highest; nothing is a space. The latest value is at the right.
pub(super) fn sparkline(past: &[f64], utf8: bool) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 9] = [' ', '.', '.', ':', ':', '-', '=', '+', '#'];
    let bars = if utf8 { BARS } else { ASCII };
    let highest = past.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let eighths = (1_u8..=8).rev().find(|eighth| *value > highest * f64::from(eighth - 1) / 8.0);
        eighths.filter(|_| *value >= 0.5).map_or(' ', |eighth| bars[usize::from(eighth)])
    };
    let missing = std::iter::repeat_n(' ', PAST.saturating_sub(past.len()));
    missing.chain(past.iter().map(bar)).collect()
}

/// Sums of interfaces in pods and of NICs.
fn sums(view: &View) -> String {
    let text = |name: &str, rate: &Rate| {
        let (rx, tx) = (short(rate.receive.bytes), short(rate.transmit.bytes));
        format!("{name}: RX {rx} TX {tx} B/s, {} drops/s", short(rate.dropped()))
    };
    let pods = view.totals.pods.as_ref().map(|rate| text("pods", rate));
    let nics = view.totals.nics.as_ref().map(|rate| text("NICs", rate));
    pods.into_iter().chain(nics).collect::<Vec<_>>().join("   ")
}

fn interface(subject: &Subject) -> String {
    match subject {
        Subject::Interface(interface) => interface.name.to_string(),
        Subject::Group { interfaces, .. } => interfaces.to_string(),
    }
}

fn netns(subject: &Subject) -> String {
    match subject {
        Subject::Interface(interface) => interface.netns.place.to_string(),
        Subject::Group { netns, .. } => netns.clone(),
    }
}

fn pod(subject: &Subject) -> String {
    match subject {
        Subject::Interface(interface) => owner(interface),
        Subject::Group { owner: Some(owner), .. } => owner.clone(),
        // The first column names the row.
        Subject::Group { owner: None, netns, .. } => format!("({netns})"),
    }
}

fn owner(interface: &Interface) -> String {
    let pod = interface.owner.as_deref().map(|owner| {
        let arrow = if owner.end() == End::Host { "→ " } else { "" };
        format!("{arrow}{owner}")
    });
    pod.unwrap_or_else(|| "-".to_owned())
}
