//! Values of headers, and the headers that several providers share.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

/// The first moment that an HTTP date cannot tell: the year 10000, in Unix seconds.
const END_OF_HTTP_DATES: u64 = 253_402_300_800;

/// Sets a header to a number.
pub(super) fn number(headers: &mut HeaderMap, name: &'static str, value: u64) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
}

/// Sets a header to a text that can be sent.
pub(super) fn text(headers: &mut HeaderMap, name: &'static str, value: &impl fmt::Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

pub(super) fn retry_after(headers: &mut HeaderMap, wait: Duration) {
    headers.insert(RETRY_AFTER, HeaderValue::from(ceil_to_seconds(wait)));
}

pub(super) fn retry_after_ms(headers: &mut HeaderMap, wait: Duration) {
    number(headers, "retry-after-ms", ceil_to_millis(wait));
}

/// Sets the date, unless it lies outside of what HTTP can tell.
pub(super) fn date(headers: &mut HeaderMap, time: SystemTime) {
    let since_epoch = time.duration_since(UNIX_EPOCH);
    if since_epoch.is_ok_and(|since| since.as_secs() < END_OF_HTTP_DATES) {
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(time)) {
            headers.insert(DATE, date);
        }
    }
}

pub(super) fn ceil_to_seconds(duration: Duration) -> u64 {
    ceil_to(duration, Duration::from_secs(1))
}

pub(super) fn ceil_to_millis(duration: Duration) -> u64 {
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
        assert_eq!(ceil_to_seconds(wait), 2);
    }

    #[test]
    fn dates_that_cannot_be_told_are_not() {
        let mut headers = HeaderMap::new();
        date(&mut headers, UNIX_EPOCH - Duration::from_secs(1));
        date(
            &mut headers,
            UNIX_EPOCH + Duration::from_secs(END_OF_HTTP_DATES),
        );
        assert!(headers.is_empty());
        date(
            &mut headers,
            UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        );
        assert_eq!(headers[DATE], "Fri, 15 Jan 2027 08:00:00 GMT");
    }
}
