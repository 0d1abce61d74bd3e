use std::fmt;

use super::{Cost, Timestamp};
use crate::tier::Limit;

/// Whether a request may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It fits: reserve it.
    Admit,
    /// Not yet.
    Wait(Wait),
    /// It is larger than the limit itself; no wait helps.
    Never(Oversize),
}

/// Why and until when a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The earliest time it can be admitted if nothing else changes. `None`: only when a request
    /// now under way is answered, settled or released.
    pub until: Option<Timestamp>,
    /// What makes it wait longest.
    pub cause: Cause,
}

/// A request that can never be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The limit it exceeds.
    pub limit: Limit,
    /// The most that limit admits.
    pub effective: u64,
    /// What the request needs, in the limit's units.
    pub requested: u64,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Room in this limit.
    Limit(Limit),
    /// Its slot: requests are spaced evenly.
    Spacing,
    /// The end of a pause the provider asked for.
    Hold,
    /// The answer to a request that was sent to find out how things stand.
    Probe,
    /// Its turn: others came first.
    Line,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "the limit of {limit}"),
            Self::Spacing => f.write_str("the spacing between requests"),
            Self::Hold => f.write_str("a pause the provider asked for"),
            Self::Probe => f.write_str("the answer to a probing request"),
            Self::Line => f.write_str("the requests that came before"),
        }
    }
}

/// Whether a reserved request may be sent this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// It is stamped as sent: send it in the same step.
    Now,
    /// Others were sent just now: release it, and ask for it again.
    Crowded,
}

/// How a sent request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// The response is complete, and this is what the provider counts for it.
    Charged(Cost),
    /// Nobody will see its end: cancelled, failed on the way, or the body was dropped. It may still
    /// cost all that was reserved.
    Abandoned,
}

/// One limit as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStatus {
    /// The limit as configured.
    pub limit: Limit,
    /// The amount in force: the configured one, or what the provider reported since.
    pub amount: u64,
    /// Units counted now: reserved, sent and not expired, and what others use.
    pub used: u64,
    /// Of them, what somebody else uses on the same key, as far as the provider let it be seen.
    pub others: u64,
    /// The most that may be counted: the amount in force less the margin, which may have widened.
    pub effective: u64,
    /// When the next units free by themselves. `None`: nothing counts, or only requests under way.
    pub frees_at: Option<Timestamp>,
}
