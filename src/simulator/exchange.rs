use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Candidate, Decision, Position};
use super::provider::Shared;
use super::report::Delivery;

/// One request and its answer, from the received head until the answer is handed over.
///
/// Dropped before that, it records that the client left.
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Arc<Shared>,
    index: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The body is still being read: nothing has arrived.
    Receiving,
    /// On its way to the limiter.
    Submitted,
    Answering(Position),
    Done,
}

impl Exchange {
    pub(super) fn open(shared: Arc<Shared>) -> Self {
        let index = shared.ledger().receive();
        Self {
            shared,
            index,
            stage: Stage::Receiving,
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Lets the request arrive after `latency`, and returns what the limiter decided.
    pub(super) async fn arrive(&mut self, candidate: Candidate, latency: Duration) -> Decision {
        let at = {
            let mut ledger = self.shared.ledger();
            // Read under the lock, so that no other request can be told a later time before.
            let at = self.shared.clock().now().saturating_add(latency);
            ledger.submit(self.index, at, candidate);
            at
        };
        self.stage = Stage::Submitted;
        loop {
            // Looked at before the first sleep: a request that is due at once must not wait for
            // the next tick of the timer.
            if let Some(decision) = self.collect() {
                self.stage = Stage::Answering(decision.position);
                return decision;
            }
            self.shared.clock().sleep_until(at).await;
        }
    }

    /// The last of the answer was handed over.
    pub(super) fn complete(&mut self) {
        if let Stage::Answering(position) = self.stage {
            self.shared
                .ledger()
                .set_delivery(position, Delivery::Complete);
        }
        self.stage = Stage::Done;
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn collect(&self) -> Option<Decision> {
        let mut ledger = self.shared.ledger();
        let now = self.shared.clock().now();
        ledger.collect(self.index, now)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.stage {
            Stage::Receiving | Stage::Done => {}
            Stage::Submitted => self.shared.ledger().abandon(self.index),
            Stage::Answering(position) => self
                .shared
                .ledger()
                .set_delivery(position, Delivery::ClientGone),
        }
    }
}
