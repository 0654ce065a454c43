use iface_core::{IfName, Netns, NetnsName, Place};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::rates::Flow;
use super::*;
use crate::json::tests::{bare, of_a_pod};

fn carrying(interface: Interface, bytes: f64, dropped: f64) -> (Arc<Interface>, Option<Rate>) {
    let receive = Flow { bytes, dropped, ..Flow::default() };
    (Arc::new(interface), Some(Rate { receive, ..Rate::default() }))
}

fn drawn(view: &View) -> String {
    drawn_in(80, 6, view)
}

fn drawn_in(width: u16, height: u16, view: &View) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, view)).unwrap();
    terminal.backend().to_string()
}

fn press(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn busiest_interface_comes_first() {
    let mut view =
        View { rows: vec![carrying(bare(), 5.0, 9.0), carrying(of_a_pod(), 1_200.0, 0.0)], ..View::default() };
    view.sort();
    let screen = drawn(&view);
    let row = |name: &str| screen.lines().position(|line| line.contains(name)).unwrap();
    assert!(row("eth0") < row("tun0"), "{screen}");
    assert!(screen.contains("default/web-0") && screen.contains("1.2k"), "{screen}");
}

#[test]
fn keys_sort_and_quit() {
    let mut view =
        View { rows: vec![carrying(of_a_pod(), 1_200.0, 0.0), carrying(bare(), 5.0, 9.0)], ..View::default() };
    assert!(!view.quits(press(KeyCode::Char('d'))));
    assert_eq!(view.rows[0].0.name, "tun0");
    assert!(view.quits(press(KeyCode::Char('q'))));
    assert!(view.quits(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn scrolling_ends_at_the_last_row() {
    let mut view = View { rows: vec![carrying(bare(), 0.0, 0.0)], ..View::default() };
    for key in [KeyCode::Down, KeyCode::PageDown, KeyCode::End] {
        assert!(!view.quits(press(key)));
        assert_eq!(view.skipped, 0);
    }
    view.rows = vec![carrying(bare(), 0.0, 0.0); 30];
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
    let rate = Rate { receive: Flow { bytes: 7.0, ..Flow::default() }, ..Rate::default() };
    view.show(vec![Arc::new(of_a_pod())], &HashMap::new());
    let once = drawn(&view);
    assert!(once.lines().any(|line| line.contains("eth0") && line.contains(" - ")), "{once}");
    view.show(vec![Arc::new(of_a_pod())], &HashMap::from([(of_a_pod().id, rate)]));
    let twice = drawn(&view);
    assert!(twice.lines().any(|line| line.contains("eth0") && line.contains(" 7 ")), "{twice}");
}

#[test]
fn narrow_screen_omits_whole_columns() {
    let view = View { rows: vec![carrying(of_a_pod(), 1_200.0, 0.0)], ..View::default() };
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
        carrying(interface, 1.0, 0.0)
    };
    let rows =
        vec![netns("cni-0d6c2b1a-7777-8888-9999-00000000ab01"), netns("cni-0d6c2b1a-7777-8888-9999-00000000ab02")];
    let screen = drawn(&View { rows, ..View::default() });
    assert!(screen.contains("b01 ") && screen.contains("b02 "), "{screen}");
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let mut evil = bare();
    evil.name = IfName::new(b"e\x1b[2J").unwrap();
    assert!(!drawn(&View { rows: vec![carrying(evil, 1.0, 0.0)], ..View::default() }).contains('\x1b'));
}
