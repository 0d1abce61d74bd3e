use std::time::Duration;

use super::ReportedLimit;
use crate::tier::{Limit, Meter};

/// The windows that providers have, shortest first.
const USUAL_WINDOWS: [Duration; 4] = [
    Duration::from_secs(1),
    MINUTE,
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

const MINUTE: Duration = Duration::from_secs(60);

/// A limit over more than a month could stop a client for as long, on the word of one answer.
const LONGEST_WINDOW: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// A number that stands for none: zero is how some gateways say that they have no limit.
fn number(report: &ReportedLimit) -> Option<u64> {
    report.limit.filter(|amount| *amount > 0)
}

/// Of several reports, the one that speaks of `limit`, among these limits of the same pool.
///
/// An answer may speak of several limits on one meter, as a project's beside its organisation's: the
/// tightest is in force.
pub(super) fn about<'a>(
    limit: &Limit,
    limits: &[Limit],
    reports: &'a [ReportedLimit],
) -> Option<&'a ReportedLimit> {
    reports
        .iter()
        .filter(|report| concerns(report, limit, limits))
        .min_by_key(|report| report.limit)
}

fn concerns(report: &ReportedLimit, limit: &Limit, limits: &[Limit]) -> bool {
    if report.meter != limit.meter() {
        return false;
    }
    if let Some(window) = report.window {
        return window == limit.window() && report.limit != Some(0);
    }
    let Some(amount) = number(report) else {
        return false;
    };
    let mut same_meter = limits.iter().filter(|other| other.meter() == limit.meter());
    if amount == limit.amount() {
        return true;
    }
    if same_meter.clone().any(|other| other.amount() == amount) {
        return false;
    }
    match report.reset {
        // A number that belongs to another window than ours, as a daily limit reported where only
        // the minute is configured, is known by its reset.
        Some(reset) => is_narrowest(limit, limits) && reset <= limit.window(),
        None => same_meter.nth(1).is_none(),
    }
}

/// Whether a report that does not say which window it speaks of speaks of this one: the shortest.
pub(super) fn is_narrowest(limit: &Limit, limits: &[Limit]) -> bool {
    limits
        .iter()
        .filter(|other| other.meter() == limit.meter())
        .all(|other| limit.window() <= other.window())
}

/// Whether the report certainly speaks of a window of this length, so that a higher number may be
/// believed.
pub(super) fn is_certain(report: &ReportedLimit, window: Duration) -> bool {
    report.window.or_else(|| implied_window(report)) == Some(window)
}

/// The limit that a report speaks of, where none is configured.
pub(super) fn discovered(report: &ReportedLimit) -> Option<Limit> {
    let amount = number(report)?;
    let window = report.window.or_else(|| implied_window(report));
    let window = window.unwrap_or_else(|| {
        let reset = report.reset.unwrap_or(MINUTE);
        let at_least = |window: &Duration| *window >= reset && *window >= MINUTE;
        USUAL_WINDOWS
            .into_iter()
            .find(at_least)
            .unwrap_or(Duration::from_secs(24 * 60 * 60))
    });
    let amount = match report.meter {
        Meter::Requests => Limit::requests(amount),
        Meter::Tokens => Limit::tokens(amount),
        Meter::InputTokens => Limit::input_tokens(amount),
        Meter::OutputTokens => Limit::output_tokens(amount),
        Meter::Concurrent => return Some(Limit::concurrent(amount)),
    };
    (window > Duration::ZERO && window <= LONGEST_WINDOW).then(|| amount.per(window))
}

/// The window of a limit that refills continuously: full again in `reset`, it refills what was used
/// in that time.
fn implied_window(report: &ReportedLimit) -> Option<Duration> {
    let limit = number(report)?;
    let used = limit
        .checked_sub(report.remaining?)
        .filter(|used| *used > 0)?;
    let nanos = report.reset?.as_nanos().checked_mul(u128::from(limit))? / u128::from(used);
    USUAL_WINDOWS
        .into_iter()
        .find(|window| window.as_nanos().abs_diff(nanos) <= window.as_nanos() / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(limit: u64, remaining: u64, reset: Duration) -> ReportedLimit {
        ReportedLimit {
            limit: Some(limit),
            remaining: Some(remaining),
            reset: Some(reset),
            ..ReportedLimit::of(Meter::Requests)
        }
    }

    #[test]
    fn a_refilling_limit_tells_its_window() {
        // Recorded answers of OpenAI: a day, and a minute.
        let day = report(200, 199, Duration::from_secs(432));
        assert_eq!(discovered(&day), Some(Limit::requests(200).per_day()));
        let minute = report(150_000, 149_990, Duration::from_millis(4));
        assert_eq!(
            discovered(&minute),
            Some(Limit::requests(150_000).per_minute())
        );
    }

    #[test]
    fn without_that_the_window_is_as_long_as_the_reset_or_a_minute() {
        let found = |remaining, reset| discovered(&report(60, remaining, reset));
        let minute = Some(Limit::requests(60).per_minute());
        assert_eq!(found(60, Duration::ZERO), minute);
        assert_eq!(found(30, Duration::from_secs(59)), minute);
        assert_eq!(
            found(30, Duration::from_secs(61)),
            Some(Limit::requests(60).per(Duration::from_secs(3_600)))
        );
        assert_eq!(
            found(30, Duration::from_secs(1_000_000)),
            Some(Limit::requests(60).per_day())
        );
        let bare = ReportedLimit {
            limit: Some(60),
            ..ReportedLimit::of(Meter::Requests)
        };
        assert_eq!(discovered(&bare), minute);
        assert_eq!(discovered(&ReportedLimit::of(Meter::Requests)), None);
        assert_eq!(discovered(&report(0, 0, Duration::ZERO)), None);
    }

    #[test]
    fn a_window_of_no_length_or_for_ever_is_no_limit() {
        for window in [Duration::ZERO, LONGEST_WINDOW + MINUTE, Duration::MAX] {
            let nonsense = ReportedLimit {
                window: Some(window),
                ..report(60, 59, Duration::from_secs(1))
            };
            assert_eq!(discovered(&nonsense), None, "{window:?}");
        }
    }

    #[test]
    fn a_named_window_is_believed() {
        let named = ReportedLimit {
            window: Some(Duration::from_secs(10)),
            ..report(60, 59, Duration::from_secs(1))
        };
        let limits = [
            Limit::requests(100).per(Duration::from_secs(10)),
            Limit::requests(60).per_minute(),
        ];
        assert_eq!(about(&limits[0], &limits, &[named]), Some(&named));
        assert_eq!(about(&limits[1], &limits, &[named]), None);
        assert!(is_certain(&named, Duration::from_secs(10)));
        assert!(!is_certain(&report(60, 30, MINUTE), MINUTE));
    }
}
