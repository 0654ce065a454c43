//! Whoever reads standard output.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Returns when the reading end of the pipe that `out` is has been closed, so that `watch | head`
/// ends even while nothing happens; never for anything but a pipe or socket.
pub async fn gone(out: impl AsFd) {
    let waited = async {
        let out = out.as_fd().try_clone_to_owned()?;
        // A regular file cannot be waited for, and has no reader that could go.
        let out = AsyncFd::register_with_interest(out, Interest::ERROR)?;
        out.ready(Interest::ERROR).await.map(|_| ())
    };
    let waited: io::Result<()> = waited.await;
    if waited.is_err() {
        std::future::pending().await
    }
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
    fn a_closed_pipe_is_noticed_without_writing_to_it() {
        let (reader, writer) = io::pipe().unwrap();
        block_on(async {
            assert!(timeout(Duration::from_millis(20), gone(&writer)).await.is_err());
            drop(reader);
            timeout(Duration::from_secs(10), gone(&writer)).await.unwrap();
        });
    }

    #[test]
    fn a_file_has_no_reader_that_could_go() {
        let file = tempfile::tempfile().unwrap();
        block_on(async { assert!(timeout(Duration::from_millis(20), gone(&file)).await.is_err()) });
    }
}
