use std::io::{BufRead, BufReader, Read};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take to say or to answer something, unless more is allowed.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Which of a program's streams a test reads.
#[derive(Clone, Copy, Debug)]
pub enum Listen {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// A program that goes on beside the test; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it and listens to one of its streams.
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

    /// The lines up to and with the first that fits.
    #[track_caller]
    pub fn until(&self, fits: impl FnMut(&str) -> bool) -> Vec<String> {
        self.until_within(LIMIT, fits)
    }

    /// The same, with more or less time.
    #[track_caller]
    pub fn until_within(&self, limit: Duration, mut fits: impl FnMut(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + limit;
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

    /// What it has said that nobody waited for.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        sent.unwrap_or_else(|e| panic!("cannot send {signal}: {e}"));
    }

    /// Waits for its end and returns its exit code; `None` where a signal ended it.
    #[track_caller]
    #[must_use]
    pub fn ended(mut self) -> Option<i32> {
        // Its output ends with it.
        let deadline = Instant::now() + LIMIT;
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

/// Ports of loopback at which nobody listens now, for programs that must be told theirs.
#[must_use]
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    // All at once, so that they differ.
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
    fn lines_come_up_to_the_one_that_is_waited_for_and_then_the_exit_code() {
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
    fn a_line_that_does_not_come_fails_with_those_that_did() {
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
