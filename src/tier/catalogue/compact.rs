use std::time::Duration;

use crate::tier::{Limit, Zone};

/// What a row writes after an amount, and the limit it means.
type Unit = (&'static str, fn(u64) -> Limit);

const UNITS: [Unit; 13] = [
    ("rps", |amount| Limit::requests(amount).per_second()),
    ("rp10s", |amount| {
        Limit::requests(amount).per(Duration::from_secs(10))
    }),
    ("rpm", |amount| Limit::requests(amount).per_minute()),
    ("rpd", |amount| Limit::requests(amount).per_day()),
    ("rpd-utc", |amount| {
        Limit::requests(amount).per_calendar_day(Zone::UTC)
    }),
    ("rpd-pacific", |amount| {
        Limit::requests(amount).per_calendar_day(Zone::PACIFIC)
    }),
    ("tps", |amount| Limit::tokens(amount).per_second()),
    ("tpm", |amount| Limit::tokens(amount).per_minute()),
    ("tpd", |amount| Limit::tokens(amount).per_day()),
    ("itpm", |amount| Limit::input_tokens(amount).per_minute()),
    ("itpd", |amount| Limit::input_tokens(amount).per_day()),
    ("otpm", |amount| Limit::output_tokens(amount).per_minute()),
    ("concurrent", Limit::concurrent),
];

/// Reads `500 rpm` or `2_000_000 itpm`.
pub(super) fn limit(text: &str) -> Option<Limit> {
    let (amount, unit) = text.trim().split_once(' ')?;
    let (_, limit) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    let digits = amount.replace('_', "");
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).map(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(limit("500 rpm"), Some(Limit::requests(500).per_minute()));
        assert_eq!(
            limit(" 2_000_000 itpm "),
            Some(Limit::input_tokens(2_000_000).per_minute())
        );
        assert_eq!(limit("4 concurrent"), Some(Limit::concurrent(4)));
        for bad in [
            "", "500", "rpm", "500rpm", "-1 rpm", "+1 rpm", "1.5 rpm", "_ rpm", "5 rpw",
        ] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }
}
