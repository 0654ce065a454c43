//! The program in a terminal, which script(1) makes.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use netns_testbed::{LIMIT, Test, tests};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scene::Scene;
use crate::unnamed::Unnamed;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        terminal_colours_and_no_color,
        a_wide_terminal_shows_names_whole,
        top_shows_unnamed_places_and_owners,
        q_restores_the_terminal,
        signal_restores_the_terminal,
    ]
    .into()
}

/// A terminal with a program in it.
struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Runs the program in so many columns; afterwards stty tells how it left the terminal.
    fn start(arguments: &str, columns: u16, environment: &[(&str, &str)]) -> Self {
        let program = env!("CARGO_BIN_EXE_netns-agent");
        let line = format!(
            "stty cols {columns} rows 24; sh -c 'echo pid=$$; exec {program} {arguments}'; echo code=$?; stty -a"
        );
        let mut script = Command::new("script")
            .args(["-qfc", &line, "/dev/null"])
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm")])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs (bsdutils)");
        let (sender, output) = channel();
        let mut stream = script.stdout.take().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keyboard = script.stdin.take().unwrap();
        Self { script, keyboard, output, seen: String::new() }
    }

    /// Waits until this was written.
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(more) = self.output.recv_timeout(left) else { panic!("{text:?} was not written: {:?}", self.seen) };
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// All that was written, after the program's end.
    fn ended(mut self) -> String {
        self.until("code=");
        // The last word but one of what stty says.
        self.until("echoke");
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn listed(arguments: &str, columns: u16, environment: &[(&str, &str)]) -> String {
    Terminal::start(&format!("list {arguments}"), columns, environment).ended()
}

fn terminal_colours_and_no_color() {
    let _scene = Scene::new();
    for environment in [&[][..], &[("NO_COLOR", "")]] {
        assert!(listed("eth0", 80, environment).contains("\x1b[32mup\x1b[0m"), "{environment:?}");
    }
    for environment in [&[("NO_COLOR", "1")], &[("TERM", "dumb")]] {
        let shown = listed("eth0", 80, environment);
        assert!(shown.contains("eth0") && !shown.contains('\x1b'), "{environment:?}: {shown}");
    }
}

fn a_wide_terminal_shows_names_whole() {
    let scene = Scene::new();
    let name = scene.pods[0].netns.name();
    assert!(listed("eth0", 200, &[]).contains(name));
    assert!(!listed("eth0", 80, &[]).contains(name));
}

/// A terminal that shows top's first screen.
fn top() -> Terminal {
    let mut terminal = Terminal::start("top", 100, &[]);
    terminal.until("netns-agent top:");
    terminal
}

fn top_shows_unnamed_places_and_owners() {
    let scene = Unnamed::new();
    let cni = format!("top --cni-cache-dir {}", scene.cni.display());
    let mut terminal = Terminal::start(&cni, 120, &[]);
    for text in [&scene.pod.place(), "default/web-0", &scene.container.place(), "systemd-nspawn/web"] {
        terminal.until(text);
    }
    // By pod.
    terminal.seen.clear();
    terminal.keyboard.write_all(b"g").unwrap();
    terminal.until("systemd-nspawn/web");
    terminal.keyboard.write_all(b"q").unwrap();
    assert!(terminal.ended().contains("code=0"));
}

fn assert_given_back(shown: &str) {
    assert!(shown.contains("code=0"), "{shown:?}");
    let (_, after) = shown.split_once("\x1b[?1049h").expect("the alternate screen was entered");
    assert!(after.contains("\x1b[?1049l"), "the alternate screen was not left: {shown:?}");
    assert!(after.contains(" icanon") && after.contains(" echo "), "the terminal is raw: {shown:?}");
}

fn q_restores_the_terminal() {
    let _scene = Scene::new();
    let mut terminal = top();
    // The key after the help closes the help and nothing else.
    terminal.keyboard.write_all(b"?").unwrap();
    terminal.until("group");
    terminal.keyboard.write_all(b"q").unwrap();
    terminal.keyboard.write_all(b"q").unwrap();
    assert_given_back(&terminal.ended());
}

fn signal_restores_the_terminal() {
    let _scene = Scene::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let terminal = top();
        let (_, pid) = terminal.seen.split_once("pid=").unwrap();
        let pid = pid.lines().next().unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        assert_given_back(&terminal.ended());
    }
}
