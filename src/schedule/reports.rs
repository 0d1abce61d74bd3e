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
    if let Some(window) = certain_window(report) {
        let is_it = limit.meter() == Meter::Concurrent || window == limit.window();
        return is_it && report.limit != Some(0);
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

/// Whether what it says of use is certainly said of `limit`, which it is [about].
pub(super) fn tells_use(report: &ReportedLimit, limit: &Limit, limits: &[Limit]) -> bool {
    let is_other = |other: &&Limit| {
        other.meter() == limit.meter()
            && other.amount() == limit.amount()
            && other.window() != limit.window()
    };
    certain_window(report).is_some()
        || is_narrowest(limit, limits)
        || report.limit == Some(limit.amount()) && !limits.iter().any(|other| is_other(&other))
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
    certain_window(report) == Some(window)
}

/// The window of which it certainly speaks: the provider names it, or its numbers do.
pub(super) fn certain_window(report: &ReportedLimit) -> Option<Duration> {
    report.window.or_else(|| implied_window(report))
}

/// The limit that a report speaks of, where none is configured.
pub(super) fn discovered(report: &ReportedLimit) -> Option<Limit> {
    let amount = number(report)?;
    let window = certain_window(report).unwrap_or_else(|| {
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
/// in that time. Of one with fixed windows the same numbers would say something else.
fn implied_window(report: &ReportedLimit) -> Option<Duration> {
    let limit = number(report).filter(|_| report.refills)?;
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
        let refilling = |limit, remaining, reset| ReportedLimit {
            refills: true,
            ..report(limit, remaining, reset)
        };
        // Recorded answers of OpenAI: a day, and a minute.
        let day = refilling(200, 199, Duration::from_secs(432));
        assert_eq!(discovered(&day), Some(Limit::requests(200).per_day()));
        let minute = refilling(150_000, 149_990, Duration::from_millis(4));
        assert_eq!(
            discovered(&minute),
            Some(Limit::requests(150_000).per_minute())
        );
        assert!(is_certain(&day, Duration::from_secs(24 * 60 * 60)));
    }

    #[test]
    fn a_window_that_ends_tells_no_more_than_that() {
        // With one of 60 used, the hour would be full again in a minute as well.
        let begun = report(60, 59, MINUTE);
        assert_eq!(discovered(&begun), Some(Limit::requests(60).per_minute()));
        assert!(!is_certain(&begun, Duration::from_secs(60 * 60)));
        assert!(!is_certain(&begun, MINUTE));
    }

    #[test]
    fn what_is_left_is_of_one_limit() {
        let minute = Limit::requests(30).per_minute();
        let day = Limit::requests(1_000).per_day();
        let limits = [minute, day];
        let daily = report(1_000, 0, MINUTE);
        assert!(tells_use(&daily, &day, &limits));
        let lowered = report(500, 0, MINUTE);
        assert!(!tells_use(&lowered, &day, &limits));
        assert!(tells_use(&lowered, &minute, &limits));
        let alike = [minute, Limit::requests(30).per_day()];
        assert!(!tells_use(&report(30, 0, MINUTE), &alike[1], &alike));
        let named = ReportedLimit {
            window: Some(day.window()),
            ..lowered
        };
        assert!(tells_use(&named, &day, &limits));
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
