use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::duration;

/// The points in time that `text` may name, likeliest first: Unix time in seconds or milliseconds,
/// RFC 3339, or the format of HTTP's own dates.
///
/// A number may name two of them. Only one of those is anywhere near the present.
pub(super) fn moments(text: &str) -> impl Iterator<Item = SystemTime> {
    let text = text.trim();
    let unix = [Duration::from_secs(1), Duration::from_millis(1)]
        .into_iter()
        .filter_map(move |unit| UNIX_EPOCH.checked_add(duration::decimal(text, unit)?));
    unix.chain(rfc_3339(text)).chain(http_date(text))
}

/// `Tue, 24 Nov 2026 00:00:00 GMT`, and the two older forms that HTTP still allows.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

fn rfc_3339(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.parse::<jiff::Timestamp>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_name_a_moment() {
        const MIDNIGHT: u64 = 1_795_478_400;
        let midnight = UNIX_EPOCH + Duration::from_secs(MIDNIGHT);
        let half_past = midnight + Duration::from_millis(500);
        let cases = [
            ("1795478400", midnight),
            (" 1795478400.5 ", half_past),
            ("1795478400500", half_past),
            ("2026-11-24T00:00:00Z", midnight),
            ("2026-11-24T00:00:00.5Z", half_past),
            ("2026-11-23T16:00:00-08:00", midnight),
            ("Tue, 24 Nov 2026 00:00:00 GMT", midnight),
            ("Tuesday, 24-Nov-26 00:00:00 GMT", midnight),
            ("Tue Nov 24 00:00:00 2026", midnight),
        ];
        for (text, expected) in cases {
            assert!(moments(text).any(|moment| moment == expected), "{text:?}");
        }
        for nonsense in [
            "",
            "-1795478400",
            "2026-11-24",
            "2026-11-24T00:00:00",
            "2026-13-24T00:00:00Z",
            "Tue, 24 Nov 2026 00:00:00 PST",
            "Tue, 31 Feb 2026 00:00:00 GMT",
            "99999999999999999999999999",
            "tomorrow",
        ] {
            assert_eq!(moments(nonsense).next(), None, "{nonsense:?}");
        }
    }
}
