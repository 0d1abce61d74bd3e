//! Threads that keep the time from passing while they run.

use std::fmt;
use std::sync::Arc;
use std::task::Wake;

use loom::sync::Mutex;

use super::idle::{self, Parker};

/// Runs `work` in a checked thread.
pub fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let done = Arc::new(Done {
        result: Mutex::new(None),
        joiner: Arc::new(Parker::default()),
    });
    let handle = JoinHandle(Arc::clone(&done));
    idle::leave();
    loom::thread::spawn(move || {
        let result = work();
        *done.result.lock().unwrap() = Some(result);
        done.joiner.wake_by_ref();
        if let Some(runtime) = idle::enter() {
            runtime.pass_time();
        }
    });
    handle
}

/// A thread that may still run.
pub struct JoinHandle<T>(Arc<Done<T>>);

struct Done<T> {
    result: Mutex<Option<T>>,
    joiner: Arc<Parker>,
}

impl<T> JoinHandle<T> {
    /// Waits for its end.
    pub fn join(self) -> T {
        self.0.joiner.park();
        let result = self.0.result.lock().unwrap().take();
        result.expect("a thread wakes its joiner when it ends")
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
