use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::{Drive, DriverId};
use super::pool::Shared;
use super::primitives::{Arc, Instant, Sleep, runtime, sleep_until};

/// Watches a pool's line on behalf of the waiters of one runtime.
///
/// Waiters have no timers of their own: one task per pool and runtime wakes whoever is next when
/// something frees, and passes on what is not claimed. It lives on the waiters' own runtime, since
/// another one may exist and not run; it ends when it finds the line empty.
pub(super) struct Driver {
    pool: Arc<Shared>,
    id: DriverId,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    /// Spawns a driver on the current runtime unless it has one for this pool.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with its timer enabled, as anything in Tokio that waits.
    #[track_caller]
    pub(super) fn ensure(pool: &Arc<Shared>) {
        let runtime = runtime::Handle::current();
        let Some(id) = pool.lock().wants_driver(runtime.id()) else {
            return;
        };
        let mut driver = Self {
            pool: Arc::clone(pool),
            id,
            timer: None,
        };
        // Made here, so that a runtime without timers panics before its user's eyes and not in a
        // task that nobody looks at; and made last, so that the panic dismisses the driver.
        driver.timer = Some(Box::pin(sleep_until(Instant::now())));
        runtime.spawn(driver);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let alarm = match self.pool.drive(self.id, cx.waker()) {
                Drive::Stop => return Poll::Ready(()),
                Drive::LookAgain(None) => return Poll::Pending,
                Drive::LookAgain(Some(alarm)) => self.pool.instant(alarm),
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(alarm)));
            timer.as_mut().reset(alarm);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime may shut down while others still wait.
    fn drop(&mut self) {
        self.pool.lose_driver(self.id);
    }
}
