use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Beyond this a wait is taken for nonsense, such as a Unix time where seconds are due. Limits of a
/// calendar month are the longest there are.
const LONGEST: Duration = Duration::from_secs(31 * DAY.as_secs());

/// The units of Go's durations that providers use.
const UNITS: [(&str, Duration); 5] = [
    ("ms", MILLISECOND),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
    ("d", DAY),
];

/// Seconds, perhaps with a fraction: `2`, `0.25`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    plausible(decimal(text.trim(), SECOND)?)
}

/// Milliseconds, perhaps with a fraction: `1500`.
pub(super) fn milliseconds(text: &str) -> Option<Duration> {
    plausible(decimal(text.trim(), MILLISECOND)?)
}

/// A sum of numbers with units, as in `6m0s`, `1m26.4s` and `17ms`, or bare seconds.
///
/// OpenAI sends the former (rate-limits guide, read 2026-11-23), services that imitate it either.
pub(super) fn reset(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Some(bare) = decimal(rest, SECOND) {
        return plausible(bare);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|char: char| char.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|char: char| !char.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (name_of_unit, tail) = tail.split_at(unit_end);
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == name_of_unit)?;
        sum = sum.checked_add(decimal(number, unit)?)?;
        rest = tail;
    }
    plausible(sum)
}

/// Digits, perhaps with a fraction, times `unit`. Signs and exponents are nonsense here.
pub(super) fn decimal(number: &str, unit: Duration) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let unit = u64::try_from(unit.as_nanos()).ok()?;
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(place * u64::from(digit - b'0'))?;
    }
    Some(Duration::from_nanos(nanos))
}

pub(super) fn plausible(duration: Duration) -> Option<Duration> {
    (duration <= LONGEST).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resets() {
        let cases = [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("7m12s", Some(432_000)),
            ("17ms", Some(17)),
            ("7.66s", Some(7_660)),
            ("8.64s", Some(8_640)),
            ("1m26.4s", Some(86_400)),
            ("2m59.56s", Some(179_560)),
            ("1h0m0s", Some(3_600_000)),
            ("1d2h", Some(93_600_000)),
            ("10", Some(10_000)),
            ("26.5", Some(26_500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            (" 3s ", Some(3_000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1m-5s", None),
            ("1e3s", None),
            ("5 s", None),
            ("5x", None),
            ("1.2.3s", None),
            (".5s", None),
            ("1m5", None),
            ("99999999999999999999s", None),
            ("400d", None),
            ("1795478400", None),
            ("2026-11-24T00:00:00Z", None),
            ("６s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(reset(text), expected.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(
            reset("12.941102168s"),
            Some(Duration::from_nanos(12_941_102_168))
        );
    }

    #[test]
    fn reads_plain_numbers() {
        assert_eq!(seconds("2"), Some(Duration::from_secs(2)));
        assert_eq!(seconds("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(seconds("65205"), Some(Duration::from_secs(65205)));
        assert_eq!(
            milliseconds("1500.5"),
            Some(Duration::from_micros(1_500_500))
        );
        for nonsense in [
            "",
            "-1",
            "+1",
            "NaN",
            "inf",
            "1e9",
            "1s",
            "soon",
            "1.",
            "1795478400",
        ] {
            assert_eq!(seconds(nonsense), None, "{nonsense:?}");
            assert_eq!(
                milliseconds(&nonsense.replace("1795478400", "9999999999999")),
                None
            );
        }
    }
}
