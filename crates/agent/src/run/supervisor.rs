//! Supervises tasks that must not end by themselves, and stops them in order.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

type Ended = (&'static str, anyhow::Result<()>);

/// Starts tasks, reports the first that ends, and stops the rest.
pub(super) struct Supervisor {
    tasks: JoinSet<Ended>,
    names: Vec<&'static str>,
    stop: watch::Sender<bool>,
    terminate: Signal,
    interrupt: Signal,
}

/// Signals a task to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns when the task has to stop.
    pub(crate) async fn asked(&mut self) {
        // Without a supervisor, all tasks have to stop.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl Supervisor {
    /// Needs a runtime.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot install a signal handler");
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { tasks: JoinSet::new(), names: Vec::new(), stop: watch::Sender::new(false), terminate, interrupt })
    }

    pub(super) fn stopping(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Starts a task that must not end before [`Stop::asked`] returns.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.names.push(name);
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Returns at SIGTERM or SIGINT, or with an error when a task has ended.
    ///
    /// Cancellation loses nothing.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => Err(too_early(ended)),
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
        }
    }

    /// Signals every task to stop and waits for them, `grace` at most. A second SIGTERM or SIGINT ends the wait at
    /// once. Neither is an error: a receiver that does not answer is not the agent's fault.
    ///
    /// # Errors
    /// When the last work of a task fails.
    pub(super) async fn stop(mut self, grace: Duration) -> anyhow::Result<()> {
        tracing::info!(event.name = "agent.stopping", ?grace, "exporting for the last time");
        self.stop.send_replace(true);
        let (tasks, names) = (&mut self.tasks, &mut self.names);
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                let (name, result) = ended.context("a task panicked")?;
                names.retain(|running| *running != name);
                result.with_context(|| format!("{name} failed while stopping"))?;
            }
            anyhow::Ok(())
        };
        let reason = tokio::select! {
            drained = drained => return drained,
            () = sleep_until(Instant::now() + grace) => {
                format!("not finished in {grace:?} (--shutdown-grace): the receiver does not answer")
            }
            _ = self.terminate.recv() => "a second SIGTERM ends the agent at once".to_owned(),
            _ = self.interrupt.recv() => "a second SIGINT ends the agent at once".to_owned(),
        };
        tracing::warn!(
            event.name = "agent.stopped_early",
            unfinished = self.names.join(", "),
            "the last export is lost: {reason}"
        );
        Ok(())
    }
}

fn too_early(ended: Result<Ended, JoinError>) -> anyhow::Error {
    match ended {
        Ok((name, Ok(()))) => anyhow!("{name} has ended"),
        Ok((name, Err(error))) => error.context(format!("{name} has failed")),
        Err(error) => anyhow::Error::from(error).context("a task panicked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn ended_task_is_named() {
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
    fn tasks_finish_their_last_work() {
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
    fn hanging_task_is_given_up() {
        block_on(async {
            let mut supervisor = Supervisor::new().unwrap();
            supervisor.start("export", std::future::pending());
            supervisor.stop(Duration::from_millis(10)).await.unwrap();
        });
    }

    #[test]
    fn second_signal_ends_the_wait() {
        block_on(async {
            let mut supervisor = Supervisor::new().unwrap();
            supervisor.start("export", std::future::pending());
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
            supervisor.ended().await.unwrap();
            let raise = async {
                tokio::task::yield_now().await;
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
            };
            let stop = tokio::time::timeout(Duration::from_secs(10), supervisor.stop(Duration::from_secs(3600)));
            let (stopped, ()) = tokio::join!(stop, raise);
            stopped.expect("the second signal ends the wait").unwrap();
        });
    }
}
