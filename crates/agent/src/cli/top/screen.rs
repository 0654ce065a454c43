//! Draws what `top` shows.

use iface_core::{End, Interface};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};

use super::View;
use super::rates::{Rate, short};
use crate::cli::table::printable;

const HEADINGS: [&str; 9] = ["INTERFACE", "NETNS", "POD", "RX B/s", "TX B/s", "RX p/s", "TX p/s", "DROP/s", "ERR/s"];

const WIDTHS: [Constraint; 9] = [
    Constraint::Length(15),
    Constraint::Length(8),
    Constraint::Min(13),
    Constraint::Length(6),
    Constraint::Length(6),
    Constraint::Length(6),
    Constraint::Length(6),
    Constraint::Length(6),
    Constraint::Length(5),
];

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let [title, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
    let words =
        format!("netns-agent top: {} interfaces by {}  (b p d e: sort, q: quit)", view.rows.len(), view.order.word());
    frame.render_widget(Line::styled(words, Modifier::BOLD), title);
    let room = usize::from(body.height);
    let rows = view.rows.iter().skip(view.skipped).take(room).map(|(interface, rate)| row(interface, rate));
    let header = Row::new(HEADINGS).style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_widget(Table::new(rows, WIDTHS).header(header), body);
}

fn row(interface: &Interface, rate: &Rate) -> Row<'static> {
    let pod = interface.owner.as_deref().map(|owner| {
        let arrow = if owner.end == End::Host { "→ " } else { "" };
        format!("{arrow}{}/{}", owner.pod.namespace, owner.pod.name)
    });
    let names = [interface.name.to_string(), interface.netns.place.to_string(), pod.unwrap_or_else(|| "-".to_owned())];
    let numbers = [
        rate.receive.bytes,
        rate.transmit.bytes,
        rate.receive.packets,
        rate.transmit.packets,
        rate.receive.dropped + rate.transmit.dropped,
        rate.receive.errors + rate.transmit.errors,
    ];
    let texts = names.iter().map(|name| printable(name));
    let figures = numbers.iter().map(|number| short(*number));
    Row::new(texts.map(Cell::from).chain(figures.map(|figure| Cell::from(Line::from(figure).right_aligned()))))
}
