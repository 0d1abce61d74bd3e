use std::fmt;
use std::time::Duration;

use crate::schedule::{LimitStatus, Timestamp};
use crate::tier::Meter;

/// What has happened in a pool, counted since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) scheduled_waits: u64,
    pub(super) wait_timeouts: u64,
    pub(super) too_large: u64,
    pub(super) granted: u64,
    pub(super) released: u64,
    pub(super) lapsed: u64,
    pub(super) dispatched: u64,
    pub(super) settled: u64,
    pub(super) abandoned: u64,
    pub(super) throttled: u64,
    pub(super) exhausted: u64,
    pub(super) usage_read: u64,
    pub(super) usage_missing: u64,
    pub(super) usage_unreadable: u64,
}

/// A pool's account at one moment.
///
/// Counters run since the pool was made. They add up at every moment:
/// `granted = total_requests + released + lapsed + reserved` and
/// `total_requests = settled + abandoned + in_flight`.
///
/// With the feature `serde` durations are serialised as seconds.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The pool: `provider/pool@tier`, and `#account` if there is one.
    pub pool: String,
    /// Requests sent.
    pub total_requests: u64,
    /// Requests that had to wait before they were sent or refused.
    pub scheduled_waits: u64,
    /// Requests refused because they would have waited, or had waited, too long.
    pub wait_timeouts: u64,
    /// Requests refused because they exceed a limit by themselves.
    pub too_large: u64,
    /// Responses by which the provider refused a request for its rate limit.
    pub throttled: u64,
    /// Requests refused because the provider had said that the account is exhausted, or may not use
    /// this at all.
    pub exhausted: u64,
    /// Reservations made. A request may need several if it does not use one in time.
    pub granted: u64,
    /// Reservations given back unused.
    pub released: u64,
    /// Reservations taken back because they were not used while others waited.
    pub lapsed: u64,
    /// Requests whose response came to its end.
    pub settled: u64,
    /// Requests whose end nobody saw: cancelled, failed on the way, or the body was dropped.
    pub abandoned: u64,
    /// Responses whose usage was read.
    pub usage_read: u64,
    /// Responses that ended without saying what was used. The estimate stands for it.
    pub usage_missing: u64,
    /// Responses whose usage could not be read, or not be believed. The estimate stands for it.
    pub usage_unreadable: u64,
    /// Requests sent and not ended.
    pub in_flight: u64,
    /// Reservations not used yet.
    pub reserved: u64,
    /// Callers in line, those included that nobody polls any more.
    pub waiting: u64,
    /// How much longer nobody is admitted because the provider asked for a pause.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds::optional"))]
    pub hold: Option<Duration>,
    /// How much longer every request is refused because the account is exhausted.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds::optional"))]
    pub closed: Option<Duration>,
    /// Every limit of the pool.
    pub limits: Vec<LimitStats>,
}

/// One limit's account at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimitStats {
    /// The limit in words.
    pub name: String,
    /// What is counted.
    pub meter: Meter,
    /// The length of the window; zero for requests in flight.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds::plain"))]
    pub window: Duration,
    /// Units counted now.
    pub used: u64,
    /// Of them, what somebody else uses on the same key, as far as the provider let it be seen.
    pub others: u64,
    /// The provider's number.
    pub limit: u64,
    /// The number in force: the provider's, or another one that it reported since.
    pub in_force: u64,
    /// The most that is let through: what is in force, less the margin.
    pub effective: u64,
    /// How far that stays below what is in force: the limit's margin, or more if it is adaptive and
    /// had to widen.
    pub margin: u64,
    /// `used` in percent of `effective`.
    pub percent: f64,
    /// In how long the next units free by themselves. `None`: nothing counts, or only requests
    /// under way.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds::optional"))]
    pub frees_in: Option<Duration>,
}

impl LimitStats {
    pub(super) fn new(status: LimitStatus, now: Timestamp) -> Self {
        Self {
            name: status.limit.to_string(),
            meter: status.limit.meter(),
            window: status.limit.window(),
            used: status.used,
            others: status.others,
            limit: status.limit.amount(),
            in_force: status.amount,
            effective: status.effective,
            margin: status.amount.saturating_sub(status.effective),
            percent: if status.effective == 0 {
                100.0
            } else {
                status.used as f64 / status.effective as f64 * 100.0
            },
            frees_in: status.frees_at.map(|at| at.saturating_since(now)),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} sent, {} in flight, {} waiting",
            self.pool, self.total_requests, self.in_flight, self.waiting
        )?;
        write!(
            f,
            "  {} waited, {} refused for the wait, {} too large, {} throttled by the provider",
            self.scheduled_waits, self.wait_timeouts, self.too_large, self.throttled
        )?;
        write!(
            f,
            "\n  usage read of {}, missing in {}, unreadable in {}; {} abandoned",
            self.usage_read, self.usage_missing, self.usage_unreadable, self.abandoned
        )?;
        if let Some(hold) = self.hold {
            write!(f, "\n  on hold for another {hold:.1?}")?;
        }
        if let Some(closed) = self.closed {
            write!(
                f,
                "\n  the account is exhausted; asked again in {closed:.1?}, {} refused for it",
                self.exhausted
            )?;
        }
        for limit in &self.limits {
            write!(f, "\n  {limit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LimitStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} used ({:.1} %)",
            self.name, self.used, self.effective, self.percent
        )?;
        match self.frees_in {
            Some(frees_in) => write!(f, ", the next frees in {frees_in:.1?}"),
            None => Ok(()),
        }
    }
}

#[cfg(feature = "serde")]
pub(super) mod seconds {
    use std::time::Duration;

    use serde::{Serialize, Serializer};

    pub(super) fn plain<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        duration.as_secs_f64().serialize(to)
    }

    pub(in super::super) fn optional<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|duration| duration.as_secs_f64())
            .serialize(to)
    }
}
