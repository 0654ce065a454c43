//! Tells that the pods listed at the API server are another node's.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::owner::tagger::Tagger;
use crate::owner::tagger::node::SameNode;

/// Time between two comparisons. The pods have to differ at two in a row, as a new pod may reach the node before the
/// agent, and a deleted pod's namespace may outlive the pod for a moment.
const PERIOD: Duration = Duration::from_secs(15);

/// Compares the API server's pods with the pods of this node, until one of the pods proves the name of the node.
#[derive(Debug, Default)]
pub(super) struct NodeCheck {
    /// Runs after the first list of pods.
    timer: Option<Pin<Box<Sleep>>>,
    proven: bool,
    suspected: bool,
    foreign: bool,
}

impl NodeCheck {
    /// A list of pods is complete.
    pub(super) fn listed(&mut self) {
        if !self.proven {
            self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + PERIOD)));
        }
    }

    /// Ready at each change of the answer to "are the pods another node's?".
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, tagger: &Tagger) -> Poll<bool> {
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer.as_mut().reset(Instant::now() + PERIOD);
            let found = tagger.same_node();
            self.proven = found == SameNode::Yes;
            if self.proven {
                self.timer = None;
            }
            let differs = found == SameNode::No;
            let foreign = differs && std::mem::replace(&mut self.suspected, differs);
            if std::mem::replace(&mut self.foreign, foreign) != foreign {
                return Poll::Ready(foreign);
            }
        }
        Poll::Pending
    }
}
