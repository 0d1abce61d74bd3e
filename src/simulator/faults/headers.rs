use std::time::{Duration, SystemTime};

use fastrand::Rng;
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::kind::FaultKind;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Neither a number nor a date, nor a number of seconds to wait.
const NONSENSE: [&[u8]; 6] = [b"soon", b"", b"-5", b"NaN", b"5 minutes", b"\xff\xfe"];

/// Says how long to wait, in both of the ways that a number of clients reads.
pub(super) fn ask_to_wait(headers: &mut HeaderMap, wait: Duration) {
    headers.insert(RETRY_AFTER, seconds(wait));
    headers.insert(RETRY_AFTER_MS, millis(wait));
}

/// Says nothing of how long to wait.
pub(super) fn forget_wait(headers: &mut HeaderMap) {
    headers.remove(RETRY_AFTER);
    headers.remove(RETRY_AFTER_MS);
}

/// Gives a refusal another `Retry-After`. `now` is what its `Date` is if it has none.
pub(super) fn rewrite_wait(
    headers: &mut HeaderMap,
    fault: FaultKind,
    wait: Duration,
    now: SystemTime,
    rng: &mut Rng,
) {
    forget_wait(headers);
    match fault {
        FaultKind::RetryAfterZero => {
            headers.insert(RETRY_AFTER, seconds(Duration::ZERO));
        }
        FaultKind::RetryAfterYear => {
            headers.insert(RETRY_AFTER, seconds(YEAR));
        }
        FaultKind::RetryAfterNonsense => {
            let text = rng.choice(NONSENSE).unwrap_or_default();
            insert(headers, RETRY_AFTER, text);
        }
        FaultKind::RetryAfterMillis => {
            headers.insert(RETRY_AFTER_MS, millis(wait));
        }
        FaultKind::RetryAfterPastDate => {
            let date = date(headers, now);
            insert_date(headers, RETRY_AFTER, date.checked_sub(whole_seconds(wait)));
        }
        FaultKind::RetryAfterFutureDate => {
            let date = date(headers, now);
            insert_date(headers, RETRY_AFTER, date.checked_add(whole_seconds(wait)));
        }
        _ => {}
    }
}

/// The moment of an answer by its own account, which it then has.
fn date(headers: &mut HeaderMap, now: SystemTime) -> SystemTime {
    let own = headers
        .get(DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    if own.is_none() {
        insert_date(headers, DATE, Some(now));
    }
    own.unwrap_or(now)
}

/// Adds half of each number that is said about limits, before or after it. Whether there was one.
pub(super) fn duplicate(headers: &mut HeaderMap, rng: &mut Rng) -> bool {
    let about_limits = about_limits(headers);
    for (name, value) in &about_limits {
        let mut values = [
            value.clone(),
            halved(value).unwrap_or_else(|| value.clone()),
        ];
        rng.shuffle(&mut values);
        let [first, second] = values;
        headers.insert(name, first);
        headers.append(name, second);
    }
    !about_limits.is_empty()
}

/// Makes each header about limits unreadable. Whether there was one.
pub(super) fn malform(headers: &mut HeaderMap, rng: &mut Rng) -> bool {
    let about_limits = about_limits(headers);
    for (name, value) in &about_limits {
        let value = value.as_bytes();
        let text = match rng.u8(0..7) {
            0 => [b"-", value].concat(),
            1 => Vec::new(),
            2 => [value, b".5"].concat(),
            3 => "\u{664}\u{662}".into(),
            4 => 10_u128.pow(30).to_string().into(),
            5 => "NaN".into(),
            _ => [value, b" ", value].concat(),
        };
        insert(headers, name.clone(), &text);
    }
    !about_limits.is_empty()
}

/// The headers that tell limits, what remains of them, and when they reset.
fn about_limits(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .keys()
        .filter(|name| name.as_str().contains("ratelimit"))
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect()
}

/// Rounded up, so that no limit becomes none.
fn halved(value: &HeaderValue) -> Option<HeaderValue> {
    let number: u64 = value.to_str().ok()?.parse().ok()?;
    Some(HeaderValue::from(number.div_ceil(2)))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    // What is written here has no control characters, which alone are not allowed.
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

/// A moment that no date can tell leaves the header out.
fn insert_date(headers: &mut HeaderMap, name: HeaderName, at: Option<SystemTime>) {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let can_be_told = |at: &SystemTime| {
        at.duration_since(SystemTime::UNIX_EPOCH)
            .is_ok_and(|since_epoch| since_epoch < YEAR_10000)
    };
    if let Some(at) = at.filter(can_be_told) {
        insert(headers, name, httpdate::fmt_http_date(at).as_bytes());
    }
}

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(whole_seconds(wait).as_secs())
}

fn millis(wait: Duration) -> HeaderValue {
    HeaderValue::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// Rounded up: a client that waits as long as it is told must not come too early.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(
        wait.as_secs()
            .saturating_add(u64::from(wait.subsec_nanos() > 0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn wait() -> Duration {
        Duration::from_millis(1_500)
    }

    fn refusal() -> HeaderMap {
        let mut headers = HeaderMap::new();
        ask_to_wait(&mut headers, wait());
        headers
    }

    fn rewritten(fault: FaultKind, mut headers: HeaderMap) -> HeaderMap {
        let now = httpdate::parse_http_date(DAY).unwrap();
        rewrite_wait(&mut headers, fault, wait(), now, &mut Rng::with_seed(0));
        headers
    }

    fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn waits_are_said_as_the_fault_has_it() {
        for (fault, seconds, millis) in [
            (FaultKind::RetryAfterAbsent, None, None),
            (FaultKind::RetryAfterZero, Some("0"), None),
            (FaultKind::RetryAfterYear, Some("31536000"), None),
            (FaultKind::RetryAfterMillis, None, Some("1500")),
            (
                FaultKind::RetryAfterPastDate,
                Some("Sun, 06 Nov 1994 08:49:35 GMT"),
                None,
            ),
            (
                FaultKind::RetryAfterFutureDate,
                Some("Sun, 06 Nov 1994 08:49:39 GMT"),
                None,
            ),
        ] {
            let headers = rewritten(fault, refusal());
            assert_eq!(text(&headers, &RETRY_AFTER), seconds, "{fault}");
            assert_eq!(text(&headers, &RETRY_AFTER_MS), millis, "{fault}");
        }
        assert_eq!(text(&refusal(), &RETRY_AFTER), Some("2"));
        assert_eq!(text(&refusal(), &RETRY_AFTER_MS), Some("1500"));
    }

    #[test]
    fn a_date_is_seen_from_the_answers_own() {
        let mut headers = refusal();
        headers.insert(
            DATE,
            HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT"),
        );
        let headers = rewritten(FaultKind::RetryAfterFutureDate, headers);
        let expected = Some("Wed, 21 Oct 2026 07:28:02 GMT");
        assert_eq!(text(&headers, &RETRY_AFTER), expected);

        let headers = rewritten(FaultKind::RetryAfterFutureDate, refusal());
        assert_eq!(text(&headers, &DATE), Some(DAY));
    }

    #[test]
    fn nonsense_is_no_number_of_seconds_and_no_date() {
        for text in NONSENSE {
            let text = String::from_utf8_lossy(text);
            assert!(text.parse::<u64>().is_err(), "{text}");
            assert!(httpdate::parse_http_date(&text).is_err(), "{text}");
        }
    }

    fn limits() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ratelimit-limit-requests", "61"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-request-id", "7"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn duplicates_are_the_value_and_half_of_it() {
        let mut orders = [false; 2];
        for seed in 0..20 {
            let mut headers = limits();
            assert!(duplicate(&mut headers, &mut Rng::with_seed(seed)));
            let all = |name| headers.get_all(name).iter().collect::<Vec<_>>();
            let limit = all("x-ratelimit-limit-requests");
            orders[usize::from(limit == ["61", "31"])] = true;
            assert!(limit == ["61", "31"] || limit == ["31", "61"], "{limit:?}");
            assert_eq!(all("x-ratelimit-reset-requests"), ["6m0s", "6m0s"]);
            assert_eq!(all("x-request-id"), ["7"]);
        }
        assert_eq!(orders, [true; 2]);
        assert!(!duplicate(&mut HeaderMap::new(), &mut Rng::with_seed(0)));
    }

    #[test]
    fn malformed_numbers_are_none() {
        for seed in 0..100 {
            let mut headers = limits();
            assert!(malform(&mut headers, &mut Rng::with_seed(seed)));
            let limit = &headers["x-ratelimit-limit-requests"];
            let number = limit
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok());
            assert_eq!(number, None, "{limit:?}");
            assert_eq!(headers["x-request-id"], "7");
        }
        assert!(!malform(&mut HeaderMap::new(), &mut Rng::with_seed(0)));
    }
}
