use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode};

use super::LimitHeaders;
use super::head::Head;
#[cfg(feature = "ietf-headers")]
use super::ietf;
use crate::schedule::ReportedLimit;
use crate::tier::Meter;

/// The names before the IETF's drafts took to structured fields. The reset is in seconds.
static IETF_TRIPLE: LimitHeaders = LimitHeaders::new(
    Meter::Requests,
    "ratelimit-limit",
    "ratelimit-remaining",
    Some("ratelimit-reset"),
);

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
    /// that has a readable number.
    ///
    /// - `retry-after-ms` goes before `retry-after`, as in the providers' own clients (openai 3.54,
    ///   anthropic 2.12, read 2026-11-23). Both may have a fraction; the latter may be a date.
    /// - `ratelimit-limit`, `-remaining` and `-reset`, of requests, as in the IETF's earlier
    ///   drafts.
    /// - `RateLimit-Policy` and `RateLimit`, with the feature `ietf-headers`, as in
    ///   draft-ietf-httpapi-ratelimit-headers-11: what counts `requests` or `concurrent-requests`.
    ///   The `t` of a used-up policy is the wait of a refusal that names no other.
    ///
    /// A point in time is measured from the response's own `Date`, or from `now` where it has none;
    /// one that is up to a minute past is now. A duration is read if it is no longer than 31 days.
    /// Of a header that comes more than once the most careful reading is taken: the smallest
    /// number, the longest time. What is nonsense is left out.
    pub fn read(
        status: StatusCode,
        headers: &HeaderMap,
        now: SystemTime,
        limits: &[LimitHeaders],
    ) -> Self {
        let head = Head::new(headers, now);
        let known = limits.iter().chain([&IETF_TRIPLE]);
        #[cfg_attr(not(feature = "ietf-headers"), expect(unused_mut))]
        let mut feedback = Self {
            throttled: status == StatusCode::TOO_MANY_REQUESTS,
            retry_after: head.retry_after(),
            limits: known.filter_map(|limit| limit.read(head)).collect(),
        };
        #[cfg(feature = "ietf-headers")]
        feedback.add(ietf::limits(headers));
        feedback
    }

    /// Takes the reset under `name` for the wait, if the request was refused without one.
    ///
    /// For providers whose resets are the ends of windows, not the time until a bucket is full.
    #[must_use]
    pub fn or_wait_for(mut self, name: &HeaderName, headers: &HeaderMap, now: SystemTime) -> Self {
        if self.throttled && self.retry_after.is_none() {
            self.retry_after = Head::new(headers, now).reset(name);
        }
        self
    }

    #[cfg(feature = "ietf-headers")]
    fn add(&mut self, limits: Vec<ReportedLimit>) {
        if self.throttled && self.retry_after.is_none() {
            let used_up = limits.iter().filter(|limit| limit.remaining == Some(0));
            self.retry_after = used_up.filter_map(|limit| limit.reset).max();
        }
        self.limits.extend(limits);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    /// 2026-11-24T00:00:00Z.
    const NOW: Duration = Duration::from_secs(1_795_478_400);

    static LIMITS: [LimitHeaders; 1] = [LimitHeaders::new(
        Meter::Requests,
        "x-limit",
        "x-remaining",
        Some("x-reset"),
    )];

    fn read(status: StatusCode, headers: Headers) -> Feedback {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            })
            .collect();
        let now = SystemTime::UNIX_EPOCH + NOW;
        Feedback::read(status, &headers, now, &LIMITS).or_wait_for(
            &HeaderName::from_static("x-reset"),
            &headers,
            now,
        )
    }

    fn feedback(headers: Headers) -> Feedback {
        read(StatusCode::OK, headers)
    }

    #[test]
    fn reads_waits() {
        let cases: [(Headers, Option<u64>); 22] = [
            (&[], None),
            (&[("retry-after", "2")], Some(2_000)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "0")], Some(0)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "9")],
                Some(1_500),
            ),
            (
                &[("retry-after-ms", "soon"), ("retry-after", "9")],
                Some(9_000),
            ),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "99999999999")], None),
            // A year.
            (&[("retry-after", "31536000")], None),
            // A point in time has a form of its own here.
            (&[("retry-after", "1795478430")], None),
            (
                &[("retry-after", "Tue, 24 Nov 2026 00:00:30 GMT")],
                Some(30_000),
            ),
            (
                &[("retry-after", "Tuesday, 24-Nov-26 00:00:30 GMT")],
                Some(30_000),
            ),
            // By the clock of whoever named the time.
            (
                &[
                    ("date", "Tue, 24 Nov 2026 00:00:20 GMT"),
                    ("retry-after", "Tue, 24 Nov 2026 00:00:30 GMT"),
                ],
                Some(10_000),
            ),
            (
                &[
                    ("date", "yesterday"),
                    ("retry-after", "Tue, 24 Nov 2026 00:00:30 GMT"),
                ],
                Some(30_000),
            ),
            (&[("retry-after", "Mon, 23 Nov 2026 23:59:50 GMT")], Some(0)),
            (&[("retry-after", "Mon, 23 Nov 2026 23:58:59 GMT")], None),
            (&[("retry-after", "Fri, 24 Nov 2028 00:00:00 GMT")], None),
            (&[("retry-after", "2"), ("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "2, 7, soon")], Some(7_000)),
            (
                &[
                    ("retry-after", "2"),
                    ("retry-after", "Tue, 24 Nov 2026 00:00:30 GMT"),
                ],
                Some(30_000),
            ),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                feedback(headers).retry_after,
                expected.map(Duration::from_millis),
                "{headers:?}"
            );
        }
    }

    fn limit(
        limit: Option<u64>,
        remaining: Option<u64>,
        reset: Option<Duration>,
    ) -> Vec<ReportedLimit> {
        vec![ReportedLimit {
            limit,
            remaining,
            reset,
            ..ReportedLimit::of(Meter::Requests)
        }]
    }

    #[test]
    fn reads_limits() {
        let second = Some(Duration::from_secs(1));
        let cases: [(Headers, Vec<ReportedLimit>); 9] = [
            (
                &[("x-limit", "60"), ("x-remaining", "59"), ("x-reset", "1s")],
                limit(Some(60), Some(59), second),
            ),
            (
                &[
                    ("ratelimit-limit", "60"),
                    ("ratelimit-remaining", "59"),
                    ("ratelimit-reset", "1"),
                ],
                limit(Some(60), Some(59), second),
            ),
            (&[("x-remaining", "0")], limit(None, Some(0), None)),
            (
                &[("x-limit", "60"), ("x-remaining", "-1")],
                limit(Some(60), None, None),
            ),
            (
                &[
                    ("x-limit", "50"),
                    ("x-limit", "60"),
                    ("x-remaining", "7, 5"),
                    ("x-reset", "17ms"),
                    ("x-reset", "1s, soon, 1ms"),
                ],
                limit(Some(50), Some(5), second),
            ),
            // The list of policies that an early draft put behind the limit.
            (
                &[("ratelimit-limit", "100, 10;w=1, 100;w=60")],
                limit(Some(100), None, None),
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

    #[test]
    fn reads_resets_in_every_form() {
        let cases: [(Headers, Option<u64>); 12] = [
            (&[("x-reset", "6m0s")], Some(360_000)),
            (&[("x-reset", "26.5")], Some(26_500)),
            (&[("x-reset", "1795478430")], Some(30_000)),
            (&[("x-reset", "1795478430500")], Some(30_500)),
            (&[("x-reset", "2026-11-24T00:00:30Z")], Some(30_000)),
            (&[("x-reset", "2026-11-24T00:00:30.25Z")], Some(30_250)),
            (
                &[("x-reset", "Tue, 24 Nov 2026 00:00:30 GMT")],
                Some(30_000),
            ),
            (
                &[
                    ("date", "Tue, 24 Nov 2026 00:00:25 GMT"),
                    ("x-reset", "1795478430"),
                ],
                Some(5_000),
            ),
            // Of two clocks the earlier one leaves more to wait.
            (
                &[
                    ("date", "Tue, 24 Nov 2026 00:00:25 GMT"),
                    ("date", "Tue, 24 Nov 2026 00:00:20 GMT"),
                    ("x-reset", "1795478430"),
                ],
                Some(10_000),
            ),
            (&[("x-reset", "2026-11-23T23:59:59Z")], Some(0)),
            (&[("x-reset", "2025-11-24T00:00:00Z")], None),
            (&[("x-reset", "3000000")], None),
        ];
        for (headers, expected) in cases {
            let refused = read(StatusCode::TOO_MANY_REQUESTS, headers);
            let expected = expected.map(Duration::from_millis);
            assert_eq!(refused.retry_after, expected, "{headers:?}");
            assert_eq!(feedback(headers).retry_after, None);
        }
    }

    #[cfg(feature = "ietf-headers")]
    #[test]
    fn a_used_up_policy_tells_how_long_to_wait() {
        let headers: Headers = &[
            (
                "ratelimit-policy",
                r#""burst";q=10;w=1, "daily";q=50;w=86400"#,
            ),
            ("ratelimit", r#""burst";r=10;t=1, "daily";r=0;t=600"#),
        ];
        let refused = read(StatusCode::TOO_MANY_REQUESTS, headers);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(600)));
        assert_eq!(refused.limits.len(), 2);
        assert_eq!(feedback(headers).retry_after, None);
    }
}
