use iface_core::IfName;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::rates::Flow;
use super::*;
use crate::view::tests::{bare, of_a_pod};

fn carrying(interface: Interface, bytes: f64, dropped: f64) -> (Arc<Interface>, Rate) {
    let receive = Flow { bytes, dropped, ..Flow::default() };
    (Arc::new(interface), Rate { receive, ..Rate::default() })
}

fn drawn(view: &View) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 6)).unwrap();
    terminal.draw(|frame| screen::draw(frame, view)).unwrap();
    terminal.backend().to_string()
}

fn press(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn the_busiest_interface_is_shown_first_with_its_pod() {
    let mut view =
        View { rows: vec![carrying(bare(), 5.0, 9.0), carrying(of_a_pod(), 1_200.0, 0.0)], ..View::default() };
    view.sort();
    let screen = drawn(&view);
    let row = |name: &str| screen.lines().position(|line| line.contains(name)).unwrap();
    assert!(row("eth0") < row("tun0"), "{screen}");
    assert!(screen.contains("default/web-0") && screen.contains("1.2k"), "{screen}");
}

#[test]
fn a_key_sorts_by_another_figure_and_q_quits() {
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
    assert!(!view.quits(press(KeyCode::Down)));
    assert_eq!(view.skipped, 0);
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let evil = Interface { name: IfName::new(b"e\x1b[2J").unwrap(), ..bare() };
    assert!(!drawn(&View { rows: vec![carrying(evil, 1.0, 0.0)], ..View::default() }).contains('\x1b'));
}
