use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::duration;
use crate::schedule::ReportedLimit;
use crate::tier::Meter;

static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What the head of a response says about the provider's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feedback {
    /// The provider refused the request because a limit of the caller was reached. An overload of
    /// the provider is not that.
    pub throttled: bool,
    /// How long the provider asks to wait before the next request.
    pub retry_after: Option<Duration>,
    /// The limits whose state was told. Empty, and nothing allocated, without such headers.
    pub limits: Vec<ReportedLimit>,
}

impl Feedback {
    /// Reads the headers that every provider shares, and one [`ReportedLimit`] for each of `limits`
    /// that has a readable header.
    ///
    /// `retry-after-ms` goes before `retry-after`, as in the providers' own clients (openai 3.54,
    /// anthropic 2.12, read 2026-11-23), and both may have a fraction. A negative wait, one of more
    /// than 31 days and a `Retry-After` that is a date are left out.
    pub fn read(
        status: StatusCode,
        headers: &HeaderMap,
        _now: SystemTime,
        limits: &[LimitHeaders],
    ) -> Self {
        let wait = |name: &HeaderName, read: fn(&str) -> Option<Duration>| {
            headers.get(name).and_then(text).and_then(read)
        };
        Self {
            throttled: status == StatusCode::TOO_MANY_REQUESTS,
            retry_after: wait(&RETRY_AFTER_MS, duration::milliseconds)
                .or_else(|| wait(&RETRY_AFTER, duration::seconds)),
            limits: limits
                .iter()
                .filter_map(|limit| limit.read(headers))
                .collect(),
        }
    }
}

/// The names of the headers that report one limit.
#[derive(Clone, Debug)]
pub struct LimitHeaders {
    meter: Meter,
    limit: HeaderName,
    remaining: HeaderName,
    reset: Option<HeaderName>,
}

impl LimitHeaders {
    /// The headers that give the limit and what remains of it, as whole numbers, and perhaps the
    /// time until it is whole again, as a duration like `1m26.4s` or in seconds.
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
        }
    }

    fn read(&self, headers: &HeaderMap) -> Option<ReportedLimit> {
        let limit = headers.get(&self.limit).and_then(whole);
        let remaining = headers.get(&self.remaining).and_then(whole);
        if limit.is_none() && remaining.is_none() {
            return None;
        }
        let reset = self.reset.as_ref().and_then(|name| headers.get(name));
        Some(ReportedLimit {
            limit,
            remaining,
            reset: reset.and_then(text).and_then(duration::reset),
            ..ReportedLimit::of(self.meter)
        })
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn whole(value: &HeaderValue) -> Option<u64> {
    let digits = text(value)?.trim();
    // `parse` would take a sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn feedback(headers: Headers) -> Feedback {
        static LIMITS: [LimitHeaders; 1] = [LimitHeaders::new(
            Meter::Requests,
            "x-limit",
            "x-remaining",
            Some("x-reset"),
        )];
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            })
            .collect();
        Feedback::read(StatusCode::OK, &headers, SystemTime::UNIX_EPOCH, &LIMITS)
    }

    #[test]
    fn reads_waits() {
        let cases: [(Headers, Option<u64>); 11] = [
            (&[], None),
            (&[("retry-after", "2")], Some(2000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "0")], Some(0)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "9")],
                Some(1500),
            ),
            (
                &[("retry-after-ms", "soon"), ("retry-after", "9")],
                Some(9000),
            ),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "99999999999")], None),
            (&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                feedback(headers).retry_after,
                expected.map(Duration::from_millis),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn reads_limits() {
        let limit = |limit, remaining, reset| {
            vec![ReportedLimit {
                limit,
                remaining,
                reset,
                ..ReportedLimit::of(Meter::Requests)
            }]
        };
        let second = Some(Duration::from_secs(1));
        let cases: [(Headers, Vec<ReportedLimit>); 6] = [
            (
                &[("x-limit", "60"), ("x-remaining", "59"), ("x-reset", "1s")],
                limit(Some(60), Some(59), second),
            ),
            (&[("x-remaining", "0")], limit(None, Some(0), None)),
            (
                &[("x-limit", "60"), ("x-remaining", "-1")],
                limit(Some(60), None, None),
            ),
            (&[("x-limit", "+60"), ("x-remaining", "5.5")], Vec::new()),
            (
                &[("x-limit", ""), ("x-remaining", "99999999999999999999")],
                Vec::new(),
            ),
            (&[("x-reset", "1s")], Vec::new()),
        ];
        for (headers, expected) in cases {
            assert_eq!(feedback(headers).limits, expected, "{headers:?}");
        }
        assert_eq!(feedback(&[]).limits.capacity(), 0);
    }
}
