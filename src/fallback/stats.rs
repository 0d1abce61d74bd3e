use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::failure::Failure;

/// What became of the requests of a [`Fallback`](super::Fallback) and its clones.
///
/// `total_requests` is `primary + fallback + failed`, and those that are under way or were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FallbackStats {
    /// Requests that began.
    pub total_requests: u64,
    /// Requests that the primary answered.
    pub primary: u64,
    /// Requests that an alternate answered.
    pub fallback: u64,
    /// Requests that every model failed, or that could not be sent at all.
    pub failed: u64,
    /// Times that a model was left for the next: it would have kept the request waiting for too long,
    /// or was throttled, overloaded, or limited to smaller requests.
    pub rate_limit_fallbacks: u64,
    /// Times that a model was left because the account is exhausted, or may not use it.
    pub quota_fallbacks: u64,
    /// Times that a model was left because its context window is too small.
    pub context_fallbacks: u64,
}

impl FallbackStats {
    /// The share of the answered requests that the primary answered, in percent.
    pub fn primary_percent(&self) -> f64 {
        self.percent(self.primary)
    }

    /// The share of the answered requests that an alternate answered, in percent.
    pub fn fallback_percent(&self) -> f64 {
        self.percent(self.fallback)
    }

    fn percent(&self, part: u64) -> f64 {
        match self.primary + self.fallback {
            0 => 0.0,
            answered => part as f64 / answered as f64 * 100.0,
        }
    }
}

impl fmt::Display for FallbackStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests: {} by the primary ({:.1} %), {} by an alternate ({:.1} %), {} failed\n  \
             left a model {} times for a rate limit, {} for a quota, {} for its context window",
            self.total_requests,
            self.primary,
            self.primary_percent(),
            self.fallback,
            self.fallback_percent(),
            self.failed,
            self.rate_limit_fallbacks,
            self.quota_fallbacks,
            self.context_fallbacks
        )
    }
}

/// [`FallbackStats`] while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    total_requests: AtomicU64,
    primary: AtomicU64,
    fallback: AtomicU64,
    failed: AtomicU64,
    rate_limit_fallbacks: AtomicU64,
    quota_fallbacks: AtomicU64,
    context_fallbacks: AtomicU64,
}

impl Counters {
    pub(super) fn begun(&self) {
        count(&self.total_requests);
    }

    pub(super) fn answered_by(&self, model: usize) {
        count(match model {
            0 => &self.primary,
            _ => &self.fallback,
        });
    }

    pub(super) fn failed(&self) {
        count(&self.failed);
    }

    pub(super) fn left(&self, failure: Failure) {
        count(match failure {
            Failure::RateLimit => &self.rate_limit_fallbacks,
            Failure::Quota => &self.quota_fallbacks,
            Failure::Context => &self.context_fallbacks,
        });
    }

    pub(super) fn read(&self) -> FallbackStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FallbackStats {
            total_requests: read(&self.total_requests),
            primary: read(&self.primary),
            fallback: read(&self.fallback),
            failed: read(&self.failed),
            rate_limit_fallbacks: read(&self.rate_limit_fallbacks),
            quota_fallbacks: read(&self.quota_fallbacks),
            context_fallbacks: read(&self.context_fallbacks),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
