use std::task::Waker;

/// What is to be done about wakers once the pool's lock is no longer held.
///
/// Waking one runs foreign code, and so does dropping one: the last waker of a task drops the task,
/// and with it a service that wants the same lock.
#[derive(Debug, Default)]
#[must_use = "deliver it after the lock is released"]
pub(super) struct Outbox {
    wake: Vec<Waker>,
    discard: Vec<Waker>,
}

impl Outbox {
    pub(super) fn wake(&mut self, waker: Waker) {
        self.wake.push(waker);
    }

    pub(super) fn discard(&mut self, waker: Waker) {
        self.discard.push(waker);
    }

    pub(super) fn deliver(self) {
        for waker in self.wake {
            waker.wake();
        }
        drop(self.discard);
    }
}
