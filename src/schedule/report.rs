use std::time::Duration;

use crate::tier::Meter;

/// The state of one limit, as a provider reports it beside a response.
///
/// Many do not say of which window they speak. OpenAI's request headers, for one, speak of the day or
/// of the minute (recorded answers, read 2026-11-23); only the numbers tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReportedLimit {
    /// What the limit counts.
    pub meter: Meter,
    /// The length of its window, where the provider names it.
    pub window: Option<Duration>,
    /// The provider's number.
    pub limit: Option<u64>,
    /// What of it is left, the answered request counted.
    pub remaining: Option<u64>,
    /// In how long it is full again, or its window ends.
    pub reset: Option<Duration>,
    /// [`reset`](Self::reset) is known to be when it is full again, of a limit that refills all the time:
    /// with what is used of it that tells its window.
    pub refills: bool,
    /// [`remaining`](Self::remaining) is rounded to a multiple of this; 1 where it is exact.
    pub rounded_to: u64,
}

impl ReportedLimit {
    /// A report that says nothing yet.
    pub const fn of(meter: Meter) -> Self {
        Self {
            meter,
            window: None,
            limit: None,
            remaining: None,
            reset: None,
            refills: false,
            rounded_to: 1,
        }
    }
}
