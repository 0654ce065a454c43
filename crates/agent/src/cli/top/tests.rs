use std::fs;
use std::path::Path;
use std::sync::Arc;

use iface_core::{IfName, Netns, NetnsName, Place};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::view::{By, Subject, View};
use super::{picture, screen};
use crate::cli::rates::{Flow, Rate, Rates};
use crate::interface::{End, Interface, Owner};
use crate::json::tests::{bare, of_a_pod};
use crate::testing::{at, changed, eth0, id, interface, pod, pod_interface};

fn rate(receive: f64, transmit: f64, dropped: f64) -> Rate {
    let flow = |bytes, dropped| Flow { bytes, packets: bytes / 800.0, dropped, ..Flow::default() };
    Rate { receive: flow(receive, dropped), transmit: flow(transmit, 0.0) }
}

/// A view of interfaces with bytes received and packets dropped per second, each with an id of its own.
fn viewing(all: &[(&Interface, f64, f64)]) -> View {
    let mut view = View { utf8: true, ..View::default() };
    let of = |(n, (one, bytes, dropped)): (u64, &(&Interface, f64, f64))| {
        (changed(one, |one| one.id = id(n)), rate(*bytes, 0.0, *dropped))
    };
    let (interfaces, rates): (Vec<_>, Vec<_>) = (1..).zip(all).map(of).unzip();
    let rates = interfaces.iter().map(|one| one.id).zip(rates).collect();
    view.show(interfaces, Some(rates));
    view
}

fn drawn(view: &View) -> String {
    drawn_in(80, 6, view)
}

fn drawn_in(width: u16, height: u16, view: &View) -> String {
    terminal_in(width, height, view).backend().to_string()
}

fn terminal_in(width: u16, height: u16, view: &View) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, view)).unwrap();
    terminal
}

fn press(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn first_name(view: &View) -> String {
    match &view.rows[0].subject {
        Subject::Interface(interface) => interface.name.to_string(),
        Subject::Group { owner, .. } => owner.clone().unwrap_or_default(),
    }
}

#[test]
fn busiest_interface_comes_first() {
    let screen = drawn(&viewing(&[(&bare(), 5.0, 9.0), (&of_a_pod(), 1_200.0, 0.0)]));
    let row = |name: &str| screen.lines().position(|line| line.contains(name)).unwrap();
    assert!(row("eth0") < row("tun0"), "{screen}");
    assert!(screen.contains("default/web-0") && screen.contains("1.2k"), "{screen}");
}

#[test]
fn keys_sort_and_quit() {
    let mut view = viewing(&[(&of_a_pod(), 1_200.0, 0.0), (&bare(), 5.0, 9.0)]);
    assert!(!view.quits(press(KeyCode::Char('d'))));
    assert_eq!(first_name(&view), "tun0");
    assert!(view.quits(press(KeyCode::Char('q'))));
    assert!(view.quits(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn scrolling_ends_at_the_last_row() {
    let mut view = viewing(&[(&bare(), 0.0, 0.0)]);
    for key in [KeyCode::Down, KeyCode::PageDown, KeyCode::End] {
        assert!(!view.quits(press(key)));
        assert_eq!(view.skipped, 0);
    }
    let one = Arc::new(bare());
    view.show(vec![one; 30], None);
    for (key, first) in [
        (KeyCode::PageDown, 10),
        (KeyCode::Down, 11),
        (KeyCode::PageUp, 1),
        (KeyCode::End, 29),
        (KeyCode::Up, 28),
        (KeyCode::Home, 0),
    ] {
        assert!(!view.quits(press(key)));
        assert_eq!(view.skipped, first);
    }
}

#[test]
fn rates_need_two_readings() {
    let mut view = View::default();
    view.show(vec![Arc::new(of_a_pod())], None);
    let once = drawn(&view);
    assert!(once.lines().any(|line| line.contains("eth0") && line.contains(" - ")), "{once}");
    view.show(vec![Arc::new(of_a_pod())], Some(Rates::from([(of_a_pod().id, rate(7.0, 0.0, 0.0))])));
    let twice = drawn(&view);
    assert!(twice.lines().any(|line| line.contains("eth0") && line.contains(" 7 ")), "{twice}");
}

#[test]
fn narrow_screen_omits_whole_columns() {
    let view = viewing(&[(&of_a_pod(), 1_200.0, 0.0)]);
    let all = drawn_in(80, 4, &view);
    assert!(all.contains("TX p/s") && all.contains("default/web-0"), "{all}");
    let narrow = drawn_in(60, 4, &view);
    assert!(narrow.contains("ERR/s") && !narrow.contains("p/s") && narrow.contains("default/web-0"), "{narrow}");
    let tiny = drawn_in(12, 4, &view);
    assert!(tiny.contains("INTERFACE") && tiny.contains("eth0") && !tiny.contains("1.2k"), "{tiny}");
    // No room at all is no reason to fail.
    for (width, height) in [(1, 1), (2, 2), (200, 1), (1, 50)] {
        drawn_in(width, height, &view);
    }
}

#[test]
fn long_names_keep_their_ends() {
    let netns = |name: &str| {
        let mut interface = of_a_pod();
        interface.netns = Arc::new(Netns::new(interface.netns.id, Place::Named(NetnsName::new(name))));
        interface
    };
    let [one, other] = ["ab01", "ab02"].map(|end| netns(&format!("cni-0d6c2b1a-7777-8888-9999-00000000{end}")));
    let screen = drawn(&viewing(&[(&one, 1.0, 0.0), (&other, 1.0, 0.0)]));
    assert!(screen.contains("b01 ") && screen.contains("b02 "), "{screen}");
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let mut evil = bare();
    evil.name = IfName::new(b"e\x1b[2J").unwrap();
    assert!(!drawn(&viewing(&[(&evil, 1.0, 0.0)])).contains('\x1b'));
}

/// A node with a NIC and three pods, of which one has two interfaces; the host end of a pod's link sees the same bytes.
fn node() -> (Vec<Arc<Interface>>, Rates) {
    let host = |number, name, kind: bool| {
        let mut link = interface(number, name, Place::Host, at(1));
        link.kind = link.kind.filter(|_| kind);
        Arc::new(link)
    };
    let (web, db) = (pod("web-0"), pod("db-0"));
    let end = changed(&pod_interface(3, "veth1a2b3c4d", &web, at(1)), |link| {
        link.netns = eth0(1, at(1)).netns.clone();
        let Some(Owner::Pod(owner)) = link.owner.as_deref() else { panic!("the interface has a pod") };
        link.owner = Some(Arc::new(Owner::Pod(crate::interface::PodOwner { end: End::Host, ..owner.clone() })));
    });
    let all = vec![
        host(1, "eth0", false),
        host(2, "cni0", true),
        end,
        pod_interface(11, "eth0", &web, at(1)),
        pod_interface(21, "eth0", &db, at(1)),
        pod_interface(22, "net1", &db, at(1)),
        Arc::new(interface(31, "wg0", Place::Named(NetnsName::new("vpn")), at(1))),
    ];
    let rates = Rates::from([
        (all[0].id, rate(3_400_000.0, 910_000.0, 0.0)),
        (all[1].id, rate(880_000.0, 2_900_000.0, 0.0)),
        (all[2].id, rate(640_000.0, 2_100_000.0, 0.0)),
        (all[3].id, rate(2_100_000.0, 640_000.0, 0.0)),
        (all[4].id, rate(800_000.0, 240_000.0, 0.0)),
        (all[5].id, rate(12_000.0, 3_100.0, 41.0)),
        (all[6].id, rate(900.0, 1_100.0, 0.0)),
    ]);
    (all, rates)
}

/// Pods and containers are rows with the sums of their interfaces, each packet once; `g` leads there and back.
#[test]
fn interfaces_are_grouped_by_pod() {
    let (all, rates) = node();
    let mut view = View { utf8: true, ..View::default() };
    view.show(all, Some(rates));
    assert_eq!(view.rows.len(), 7);
    assert!(!view.quits(press(KeyCode::Char('g'))));
    let screen = drawn_in(100, 8, &view);
    let row =
        |name: &str| screen.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {screen}"));
    let fields = |name: &str| row(name).trim_matches('"').split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(fields("default/db-0")[..4], ["default/db-0", "812k", "243k", "41"], "{screen}");
    assert_eq!(fields("default/web-0")[1], "2.1M", "{screen}");
    assert!(row("(vpn)").contains("900") && view.rows.len() == 3, "{screen}");
    assert!(!screen.contains("cni0"), "{screen}");
    assert!(!view.quits(press(KeyCode::Char('g'))));
    assert_eq!((view.rows.len(), view.by), (7, By::Interface));
}

/// The last line adds up pods and NICs; a small screen has no such line.
#[test]
fn totals_count_each_packet_once() {
    let (all, rates) = node();
    let mut view = View::default();
    view.show(all, Some(rates));
    let screen = drawn_in(90, 6, &view);
    let last = screen.lines().last().unwrap();
    assert!(last.contains("pods: RX 2.9M TX 884k B/s, 41 drops/s   NICs: RX 3.4M TX 910k B/s, 0 drops/s"), "{screen}");
    assert!(!drawn_in(90, 4, &view).contains("NICs"));
    view.show(vec![Arc::new(bare())], Some(Rates::new()));
    assert!(!drawn(&view).contains("B/s,"));
}

#[test]
fn past_is_drawn_as_bars() {
    assert_eq!(screen::sparkline(&[0.0, 100.0, 800.0, 400.0], true), "       ▁█▄");
    assert_eq!(screen::sparkline(&[0.0; 10], true), " ".repeat(10));
    assert!(screen::sparkline(&[0.0, 1.0, 2.0, 3.0, 8.0], false).is_ascii());
    let mut view = View { utf8: true, ..View::default() };
    for bytes in 1..=12 {
        let rates = Rates::from([(of_a_pod().id, rate(f64::from(bytes) * 100.0, 0.0, 0.0))]);
        view.show(vec![Arc::new(of_a_pod())], Some(rates));
    }
    assert_eq!(view.rows[0].past.first(), Some(&300.0));
    assert!(drawn_in(110, 6, &view).contains("▂▃▄▄▅▆▆▇██"));
}

/// `?` shows the keys; the next key closes the help and does nothing else, so that Esc does not quit.
#[test]
fn question_mark_shows_keys() {
    let mut view = viewing(&[(&of_a_pod(), 1.0, 0.0)]);
    assert!(!view.quits(press(KeyCode::Char('?'))));
    let help = drawn_in(80, 14, &view);
    assert!(["Keys", "group by pod", "quit"].iter().all(|word| help.contains(word)), "{help}");
    for (width, height) in [(1, 1), (10, 3), (200, 2)] {
        drawn_in(width, height, &view);
    }
    assert!(!view.quits(press(KeyCode::Esc)));
    assert!(!view.help && view.quits(press(KeyCode::Esc)));
}

#[test]
fn losses_are_red_where_allowed() {
    for colour in [true, false] {
        let view = View { colour, ..viewing(&[(&of_a_pod(), 1.0, 9.0)]) };
        let terminal = terminal_in(80, 6, &view);
        let red = terminal.backend().buffer().content.iter().any(|cell| cell.fg == Color::Red);
        assert_eq!(red, colour);
    }
}

/// The picture in the documents is this screen; `UPDATE_DOCS=1` writes it.
#[test]
fn picture_in_documents_is_current() {
    let (all, rates) = node();
    let mut view = View { utf8: true, colour: true, ..View::default() };
    for step in [3.0, 4.0, 7.0, 5.0, 4.0, 9.0, 6.0, 8.0, 10.0] {
        let earlier = rates.iter().map(|(id, rate)| {
            let part = (step * 7.0 + id.0.get() as f64 * 3.0) % 10.0 / 10.0;
            let mut rate = *rate;
            (rate.receive.bytes, rate.transmit.bytes) = (rate.receive.bytes * part, rate.transmit.bytes * part);
            (*id, rate)
        });
        view.show(all.clone(), Some(earlier.collect()));
    }
    view.show(all, Some(rates));
    let svg = picture::svg(terminal_in(104, 11, &view).backend().buffer(), "netns-agent top: interfaces by throughput");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/top.svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &svg).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == svg,
        "docs/images/top.svg is out of date: UPDATE_DOCS=1 cargo test -p netns-agent --lib cli::top"
    );
}
