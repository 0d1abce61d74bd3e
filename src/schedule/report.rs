use std::time::Duration;

use crate::tier::Meter;

/// The state of one limit, as a provider reports it beside a response.
///
/// It does not tell the window of the limit. OpenAI's request headers, for one, speak of the day or
/// of the minute (recorded answers, read 2026-11-23); only the value of [`limit`](Self::limit) tells
/// which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReportedLimit {
    /// What the limit counts.
    pub meter: Meter,
    /// The provider's number.
    pub limit: Option<u64>,
    /// What of it is left, the answered request counted.
    pub remaining: Option<u64>,
    /// In how long it is full again, or its window ends.
    pub reset: Option<Duration>,
}

impl ReportedLimit {
    /// A report that says nothing yet.
    pub const fn of(meter: Meter) -> Self {
        Self {
            meter,
            limit: None,
            remaining: None,
            reset: None,
        }
    }
}
