use std::task::Waker;

/// What is to be done about wakers once the pool's lock is no longer held.
///
/// Waking one runs foreign code, and so does dropping one: the last waker of a task drops the task,
/// and with it a service that wants the same lock. So it is delivered when it is dropped, after the
/// lock: also when a user's strategy panics meanwhile, for those who were to be woken would wait for
/// ever.
#[derive(Debug, Default)]
#[must_use = "drop it after the lock is released"]
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
}

impl Drop for Outbox {
    fn drop(&mut self) {
        for waker in self.wake.drain(..) {
            waker.wake();
        }
    }
}
