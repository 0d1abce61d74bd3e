use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::ledger::{Decision, Gauge};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Limit, remaining and reset of one meter.
type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds what a provider tells about its limits.
pub(super) fn insert(headers: &mut HeaderMap, decision: &Decision) {
    for (names, gauge) in [(REQUESTS, decision.requests), (TOKENS, decision.tokens)] {
        if let Some(gauge) = gauge {
            insert_gauge(headers, names, gauge);
        }
    }
    if let Some(wait) = decision.refusal.and_then(|refusal| refusal.wait) {
        headers.insert(RETRY_AFTER, number(ceil_to(wait, Duration::from_secs(1))));
        headers.insert(RETRY_AFTER_MS, number(ceil_to_millis(wait)));
    }
}

fn insert_gauge(headers: &mut HeaderMap, [limit, remaining, reset]: Names, gauge: Gauge) {
    headers.insert(limit, number(gauge.limit));
    headers.insert(remaining, number(gauge.remaining));
    if let Ok(value) = HeaderValue::try_from(GoDuration(gauge.reset).to_string()) {
        headers.insert(reset, value);
    }
}

fn number(value: u64) -> HeaderValue {
    HeaderValue::from(value)
}

fn ceil_to_millis(duration: Duration) -> u64 {
    ceil_to(duration, Duration::from_millis(1))
}

/// Rounded up: a client that waits as long as it is told must not come too early.
fn ceil_to(duration: Duration, unit: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(unit.as_nanos())).unwrap_or(u64::MAX)
}

/// Writes a duration, rounded up to whole milliseconds, as Go does: `17ms`, `1.5s`, `6m0s`, `1h0m0s`.
pub(super) struct GoDuration(pub(super) Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = ceil_to_millis(self.0);
        if (1..1_000).contains(&millis) {
            return write!(f, "{millis}ms");
        }
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let (seconds, millis) = (millis / 1_000 % 60, millis % 1_000);
        write!(f, "{seconds}")?;
        if millis > 0 {
            let fraction = format!("{millis:03}");
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (17_000_000, "17ms"),
            (17_000_001, "18ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (8_640_000_000, "8.64s"),
            (59_999_000_000, "59.999s"),
            (360_000_000_000, "6m0s"),
            (432_000_000_000, "7m12s"),
            (3_600_000_000_000, "1h0m0s"),
            (86_399_050_000_000, "23h59m59.05s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(GoDuration(duration).to_string(), expected);
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        let wait = Duration::from_micros(1_000_001);
        assert_eq!(ceil_to_millis(wait), 1_001);
        assert_eq!(ceil_to(wait, Duration::from_secs(1)), 2);
    }
}
