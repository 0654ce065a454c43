//! Whoever reads standard output.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;

/// Returns when the reading end of the pipe that `out` is has been closed, so that `watch | head`
/// ends even while nothing happens; never for anything but a pipe or socket.
///
/// A thread waits for that and ends with the process: nothing else tells, as the runtime can only
/// wait for a file that nobody else uses.
///
/// # Errors
/// When there can be no other thread or file descriptor.
pub fn gone(out: impl AsFd) -> io::Result<impl Future<Output = ()>> {
    let out = out.as_fd().try_clone_to_owned()?;
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("reader".into()).spawn(move || {
        // An error is reported whether it is asked for or not, poll(2).
        let mut files = [PollFd::new(out.as_fd(), PollFlags::empty())];
        if poll(&mut files, PollTimeout::NONE).is_ok() {
            let _ = sender.send(());
        }
    })?;
    Ok(async {
        if receiver.await.is_err() {
            std::future::pending().await
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn closed_pipe_is_noticed_without_writing() {
        let (reader, writer) = io::pipe().unwrap();
        block_on(async {
            let mut gone = std::pin::pin!(gone(&writer).unwrap());
            assert!(timeout(Duration::from_millis(20), &mut gone).await.is_err());
            drop(reader);
            timeout(Duration::from_secs(10), gone).await.unwrap();
        });
    }

    #[test]
    fn file_has_no_reader() {
        let file = tempfile::tempfile().unwrap();
        block_on(async { assert!(timeout(Duration::from_millis(20), gone(&file).unwrap()).await.is_err()) });
    }
}
