//! A clock that stands still until a runtime moves it on.

use std::future::Future;
use std::ops::Add;
use std::pin::Pin;
use std::sync::{Mutex as Unchecked, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use loom::sync::Mutex;

use super::runtime::{Handle, Timer};

loom::lazy_static! {
    static ref NOW: Mutex<Instant> = Mutex::new(Instant(Duration::ZERO));

    // The same, for a look that is no step in the protocol and so need not be checked.
    static ref LATEST: Unchecked<Instant> = Unchecked::new(Instant(Duration::ZERO));
}

/// A point in time, counted from the beginning of the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// The time it is.
    ///
    /// # Panics
    ///
    /// Outside a model.
    pub fn now() -> Self {
        *NOW.lock().unwrap()
    }

    /// The time from `earlier` until `self`; zero if `earlier` is the later one.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from the beginning of the execution until `self`.
    pub fn since_start(self) -> Duration {
        self.0
    }

    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// Moves the clock on to `instant`, unless it is later already.
pub(super) fn leap(instant: Instant) {
    let mut now = NOW.lock().unwrap();
    *now = now.max(instant);
    *latest() = *now;
}

/// How far off `instant` is, asked by the runtime that would move the clock there.
pub(super) fn until(instant: Instant) -> Duration {
    instant.saturating_duration_since(*latest())
}

fn latest() -> MutexGuard<'static, Instant> {
    LATEST.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: Timer::new(Handle::current()),
    }
}

/// Done at its deadline, or when the clock was moved past it.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline: Instant,
    timer: Timer,
}

impl Sleep {
    pub(crate) fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.timer.disarm();
        self.deadline = deadline;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        self.timer.arm(deadline, cx.waker().clone());
        Poll::Pending
    }
}
