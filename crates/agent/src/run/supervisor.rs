//! Tasks that must not end, and their orderly end.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

type Ended = (&'static str, anyhow::Result<()>);

/// Starts tasks, notices the first that ends, and stops the rest.
pub(super) struct Supervisor {
    tasks: JoinSet<Ended>,
    stop: watch::Sender<bool>,
    terminate: Signal,
    interrupt: Signal,
}

/// Tells a task to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns when it is to stop.
    pub(crate) async fn asked(&mut self) {
        // A supervisor that is gone wants everything stopped.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl Supervisor {
    /// Needs a runtime.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { tasks: JoinSet::new(), stop: watch::Sender::new(false), terminate, interrupt })
    }

    pub(super) fn stopping(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Starts a task that must not end before it is told to.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Returns when the user wants to stop, or with an error when a task has ended.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => Err(too_early(ended)),
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
        }
    }

    /// Tells every task to stop and waits for them, `grace` at most.
    ///
    /// # Errors
    /// What the last work of a task failed with, or that it did not end in time.
    pub(super) async fn stop(mut self, grace: Duration) -> anyhow::Result<()> {
        tracing::info!(event.name = "stopping", ?grace, "sending what is left");
        self.stop.send_replace(true);
        let drained = timeout(grace, async {
            while let Some(ended) = self.tasks.join_next().await {
                let (name, result) = ended.context("a task was lost")?;
                result.with_context(|| format!("{name} failed while stopping"))?;
            }
            anyhow::Ok(())
        });
        match drained.await {
            Ok(drained) => drained,
            Err(_) => Err(anyhow!("what was left could not be sent in {grace:?}; --shutdown-grace allows more")),
        }
    }
}

fn too_early(ended: Result<Ended, JoinError>) -> anyhow::Error {
    match ended {
        Ok((name, Ok(()))) => anyhow!("{name} has ended"),
        Ok((name, Err(error))) => error.context(format!("{name} has failed")),
        Err(error) => anyhow::Error::from(error).context("a task was lost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_task_that_ends_or_fails_is_told_by_its_name() {
        for (result, says) in [(Ok(()), "export has ended"), (Err(anyhow!("no route")), "export has failed: no route")]
        {
            let error = block_on(async {
                let mut supervisor = Supervisor::new().unwrap();
                supervisor.start("export", async { result });
                supervisor.ended().await.unwrap_err()
            });
            assert_eq!(format!("{error:#}"), says);
        }
    }

    #[test]
    fn tasks_finish_their_last_work_within_the_grace_time() {
        block_on(async {
            let mut supervisor = Supervisor::new().unwrap();
            let (done, mut is_done) = watch::channel(false);
            let mut stop = supervisor.stopping();
            supervisor.start("export", async move {
                stop.asked().await;
                done.send_replace(true);
                Ok(())
            });
            supervisor.stop(Duration::from_secs(10)).await.unwrap();
            assert!(*is_done.borrow_and_update());
        });
    }

    #[test]
    fn a_task_that_does_not_stop_is_given_up() {
        let error = block_on(async {
            let mut supervisor = Supervisor::new().unwrap();
            supervisor.start("export", std::future::pending());
            supervisor.stop(Duration::from_millis(10)).await.unwrap_err()
        });
        assert!(error.to_string().contains("--shutdown-grace"), "{error}");
    }
}
