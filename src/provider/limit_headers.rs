use std::time::Duration;

use http::HeaderName;

use super::head::Head;
use crate::schedule::ReportedLimit;
use crate::tier::Meter;

/// The names of the headers that report one limit, and what they leave unsaid.
///
/// ```
/// use std::time::Duration;
/// use proactive_rate_limit::Meter;
/// use proactive_rate_limit::provider::LimitHeaders;
///
/// static DAILY: LimitHeaders = LimitHeaders::new(
///     Meter::Requests,
///     "x-ratelimit-limit-requests",
///     "x-ratelimit-remaining-requests",
///     Some("x-ratelimit-reset-requests"),
/// )
/// .per(Duration::from_secs(24 * 60 * 60));
/// # let _ = &DAILY;
/// ```
#[derive(Clone, Debug)]
pub struct LimitHeaders {
    meter: Meter,
    limit: HeaderName,
    remaining: HeaderName,
    reset: Option<HeaderName>,
    window: Option<Duration>,
    refills: bool,
    rounded_to: u64,
}

impl LimitHeaders {
    /// The headers that give the limit and what remains of it, as whole numbers, and perhaps when
    /// it is whole again.
    ///
    /// A reset is read in every form that providers use (read 2026-11-23): a duration like `6m0s`,
    /// `1m26.4s` or `17ms`; seconds; or a point in time, as Unix time in seconds or milliseconds,
    /// by RFC 3339, or as an HTTP date. It has to be within 31 days.
    ///
    /// # Panics
    ///
    /// If a name is not a header name in lower case; in a `static`, that does not compile.
    pub const fn new(
        meter: Meter,
        limit: &'static str,
        remaining: &'static str,
        reset: Option<&'static str>,
    ) -> Self {
        Self {
            meter,
            limit: HeaderName::from_static(limit),
            remaining: HeaderName::from_static(remaining),
            reset: match reset {
                Some(name) => Some(HeaderName::from_static(name)),
                None => None,
            },
            window: None,
            refills: false,
            rounded_to: 1,
        }
    }

    /// These headers, known to speak of a window of this length.
    #[must_use]
    pub const fn per(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }

    /// These headers, known to give as the reset when the limit is full again, of one that refills all
    /// the time.
    #[must_use]
    pub const fn refilling(mut self) -> Self {
        self.refills = true;
        self
    }

    /// These headers, known to give what remains rounded to a multiple of `units`.
    #[must_use]
    pub const fn rounded_to(mut self, units: u64) -> Self {
        self.rounded_to = units;
        self
    }

    /// `None` without a readable number. A lone reset tells nothing.
    pub(super) fn read(&self, head: Head<'_>) -> Option<ReportedLimit> {
        let limit = head.count(&self.limit);
        let remaining = head.count(&self.remaining);
        if limit.is_none() && remaining.is_none() {
            return None;
        }
        Some(ReportedLimit {
            window: self.window,
            limit,
            remaining,
            reset: self.reset.as_ref().and_then(|name| head.reset(name)),
            refills: self.refills,
            rounded_to: self.rounded_to,
            ..ReportedLimit::of(self.meter)
        })
    }
}
