//! Who has something to do. When nobody has, time passes.

use std::sync::{Arc, Mutex as Unchecked, MutexGuard, PoisonError};
use std::task::Wake;

use loom::sync::{Condvar, Mutex};

use super::runtime::Handle;

loom::lazy_static! {
    // The checker need not see it: it decides something only when every thread waits.
    static ref BUSY: Unchecked<Busy> = Unchecked::new(Busy { threads: 1, runtimes: Vec::new() });
}

struct Busy {
    /// Those that do not wait. The test's own thread is the first.
    threads: usize,
    /// Those that somebody runs.
    runtimes: Vec<Handle>,
}

fn busy() -> MutexGuard<'static, Busy> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One more thread has something to do.
pub(super) fn leave() {
    busy().threads += 1;
}

/// This thread is about to wait for another one. If it is the last one, says which runtime has the
/// first timer: its time has come.
///
/// # Panics
///
/// If there is no timer either.
#[must_use]
pub(super) fn enter() -> Option<Handle> {
    let mut busy = busy();
    busy.threads -= 1;
    if busy.threads > 0 {
        return None;
    }
    let timers = busy.runtimes.iter();
    let first = timers
        .filter_map(|runtime| Some((runtime.first_timer()?, runtime)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, runtime)| runtime.clone());
    drop(busy);
    assert!(first.is_some(), "everybody waits, and for nothing");
    first
}

pub(super) fn add_runtime(runtime: Handle) {
    busy().runtimes.push(runtime);
}

pub(super) fn remove_runtime(runtime: &Handle) {
    busy().runtimes.retain(|known| known.id() != runtime.id());
}

/// Lets a thread wait until it is woken.
#[derive(Default)]
pub(super) struct Parker {
    state: Mutex<ParkState>,
    woken: Condvar,
}

#[derive(Default)]
struct ParkState {
    is_woken: bool,
    is_parked: bool,
}

impl Parker {
    pub(super) fn park(&self) {
        let mut state = self.state.lock().unwrap();
        if !state.is_woken {
            state.is_parked = true;
            if let Some(runtime) = enter() {
                runtime.pass_time();
            }
        }
        while !state.is_woken {
            state = self.woken.wait(state).unwrap();
        }
        state.is_woken = false;
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.lock().unwrap();
        state.is_woken = true;
        if std::mem::take(&mut state.is_parked) {
            leave();
            self.woken.notify_one();
        }
    }
}
