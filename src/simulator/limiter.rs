//! How an amount is enforced: one file for each way.
//!
//! Each is exact and shares no code with the scheduler on purpose: they are what it is judged by.
//! Moments are durations since the simulator was built and must not go back.

mod concurrency;
mod fixed_counter;
mod sliding_log;
#[cfg(test)]
mod tests;
mod token_bucket;

use std::fmt;
use std::time::Duration;

pub(super) use self::concurrency::Concurrency;
pub(super) use self::fixed_counter::{FixedCounter, Periods};
pub(super) use self::sliding_log::{SlidingLog, worst_window};
pub(super) use self::token_bucket::TokenBucket;

/// Keeps one amount.
///
/// What is asked at a moment needs [`expire`](Self::expire) to have been called for it. An amount
/// of zero always fits, and what is counted need not fit: amounts that are known only after the
/// fact can exceed a limit.
pub(super) trait Limiter: fmt::Debug + Send {
    fn limit(&self) -> u64;

    /// Puts another amount in force, at once. What is counted stays counted.
    fn set_limit(&mut self, limit: u64);

    /// Lets time pass until `now`.
    fn expire(&mut self, now: Duration);

    /// Whether counting `amount` would stay within the limit.
    fn fits(&self, amount: u64) -> bool;

    fn count(&mut self, now: Duration, amount: u64);

    /// Something that was counted has ended. Only a limit on what is in flight minds.
    fn release(&mut self, _amount: u64) {}

    /// Units counted and not yet free again.
    fn used(&self) -> u64;

    /// What still fits.
    fn remaining(&self) -> u64 {
        self.limit().saturating_sub(self.used())
    }

    /// When `amount` fits if nothing else is counted.
    fn wait_for(&self, now: Duration, amount: u64) -> Wait;

    /// How long until the whole limit is free if nothing else is counted; zero where no passing of
    /// time frees anything.
    fn wait_until_empty(&self, now: Duration) -> Duration;
}

/// How long something is kept waiting. The order is from the shortest to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    For(Duration),
    /// Until something in flight ends, which nobody can tell.
    ForAnother,
    /// It is more than the limit itself.
    Forever,
}

impl Wait {
    pub(super) const NONE: Self = Self::For(Duration::ZERO);

    /// The time to wait, if it is known.
    pub(super) fn known(self) -> Option<Duration> {
        match self {
            Self::For(wait) => Some(wait),
            Self::ForAnother | Self::Forever => None,
        }
    }
}

/// Nanoseconds, as far as a product with any amount fits 128 bits: 584 years.
fn nanos(duration: Duration) -> u128 {
    duration.as_nanos().min(u128::from(u64::MAX))
}
