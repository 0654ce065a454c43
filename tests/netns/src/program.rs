use std::io::{BufRead, BufReader, Read};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::limits::scaled;

/// Default time limit for a line of output or a reply.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The output stream that a test reads.
#[derive(Clone, Copy, Debug)]
pub enum Listen {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// A program in the background; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts a program and reads one of its streams.
    #[track_caller]
    #[must_use]
    pub fn start(mut command: Command, listen: Listen) -> Self {
        match listen {
            Listen::Output => command.stdout(Stdio::piped()),
            Listen::Errors => command.stderr(Stdio::piped()),
        };
        let program = command.get_program().to_owned();
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}: run tests/tools.sh once", program.display()));
        let stream = match listen {
            Listen::Output => child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            Listen::Errors => child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        };
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = stream.into_iter().flat_map(|stream| BufReader::new(stream).lines().map_while(Result::ok));
            lines.try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The lines up to and including the first match.
    #[track_caller]
    pub fn until(&self, fits: impl FnMut(&str) -> bool) -> Vec<String> {
        self.until_within(LIMIT, fits)
    }

    /// As [`until`](Self::until), with another time limit.
    #[track_caller]
    pub fn until_within(&self, limit: Duration, mut fits: impl FnMut(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + scaled(limit);
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let found = fits(&line);
            seen.push(line);
            if found {
                return seen;
            }
        }
        panic!("within {limit:?} the line did not come; these did:\n{}", seen.join("\n"));
    }

    /// Output lines not read by `until`.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        sent.unwrap_or_else(|e| panic!("cannot send {signal}: {e}"));
    }

    /// Waits for the exit and returns the exit code; `None` after a fatal signal.
    #[track_caller]
    #[must_use]
    pub fn ended(mut self) -> Option<i32> {
        // The output ends with the process.
        let deadline = Instant::now() + scaled(LIMIT);
        let next = || self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let end = iter::repeat_with(next).find_map(Result::err);
        assert_eq!(end, Some(RecvTimeoutError::Disconnected), "the program goes on after {LIMIT:?}");
        self.child.wait().unwrap_or_else(|e| panic!("cannot wait for a program: {e}")).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Unused ports of loopback, for programs that cannot choose a port.
#[must_use]
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    // All ports at once, so that the ports differ.
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    listeners.map(|listener| {
        let address = listener.and_then(|listener| listener.local_addr());
        address.unwrap_or_else(|e| panic!("no free port of 127.0.0.1 (is lo up?): {e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn lines_precede_the_exit_code() {
        let scripts = [
            (Listen::Output, "echo one; echo two; echo three; exit 3"),
            (Listen::Errors, "(echo one; echo two) >&2; exit 3"),
        ];
        for (listen, script) in scripts {
            let running = Running::start(shell(script), listen);
            assert_eq!(running.until(|line| line == "two"), ["one", "two"]);
            assert_eq!(running.ended(), Some(3));
        }
    }

    #[test]
    #[should_panic(expected = "these did:\none")]
    fn missing_line_fails_with_output() {
        let running = Running::start(shell("echo one; exec cat"), Listen::Output);
        running.until(|line| line == "one");
        Running::start(shell("echo one; echo more"), Listen::Output)
            .until_within(Duration::from_secs(5), |line| line == "two");
    }

    #[test]
    fn free_ports_differ() {
        let [first, second] = free_ports();
        assert_ne!(first, second);
    }
}
