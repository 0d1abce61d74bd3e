//! The structured fields of draft-ietf-httpapi-ratelimit-headers-11 (May 2026; read 2026-11-23).

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, List, ListEntry, Parameters, Parser};

use super::duration;
use crate::schedule::ReportedLimit;
use crate::tier::Meter;

static POLICIES: HeaderName = HeaderName::from_static("ratelimit-policy");
static STATES: HeaderName = HeaderName::from_static("ratelimit");

/// A longer field, in bytes, is not read: policies are compared with states one by one.
const LONGEST_FIELD: usize = 2048;

/// `"burst";q=100;w=60`.
struct Policy {
    name: String,
    /// `None` if it counts what nothing here counts.
    meter: Option<Meter>,
    quota: Option<u64>,
    window: Option<Duration>,
}

/// `"burst";r=50;t=30`.
struct State {
    name: String,
    remaining: Option<u64>,
    reset: Option<Duration>,
}

/// One report for each policy that counts requests, and for each state of a policy that is not
/// told.
///
/// The draft lets a policy and its state differ in a partition key; only the name is compared.
pub(super) fn limits(headers: &HeaderMap) -> Vec<ReportedLimit> {
    let policies: Vec<_> = items(headers, &POLICIES).filter_map(policy).collect();
    let states: Vec<_> = items(headers, &STATES).map(state).collect();
    let told = policies.iter().filter_map(|policy| {
        Some(ReportedLimit {
            limit: policy.quota,
            window: policy.window,
            ..ReportedLimit::of(policy.meter?)
        })
        .map(|report| with_states(report, &states, &policy.name))
    });
    let untold = states
        .iter()
        .filter(|state| policies.iter().all(|policy| policy.name != state.name))
        // Requests are what a policy counts that does not say.
        .map(|state| with_states(ReportedLimit::of(Meter::Requests), &states, &state.name));
    let mut limits = Vec::new();
    for report in told.chain(untold) {
        let says_something = report.limit.is_some() || report.remaining.is_some();
        if says_something && !limits.contains(&report) {
            limits.push(report);
        }
    }
    limits
}

/// The report with the most careful reading of the states of this name.
fn with_states(report: ReportedLimit, states: &[State], name: &str) -> ReportedLimit {
    let of_name = || states.iter().filter(|state| state.name == name);
    ReportedLimit {
        remaining: of_name().filter_map(|state| state.remaining).min(),
        reset: of_name().filter_map(|state| state.reset).max(),
        ..report
    }
}

/// `None` if its window is beyond what is plausible: taken for another it would do harm.
fn policy((name, parameters): (String, Parameters)) -> Option<Policy> {
    let meter = match parameters.get("qu") {
        None => Some(Meter::Requests),
        Some(BareItem::String(unit)) => match unit.as_str() {
            "requests" => Some(Meter::Requests),
            "concurrent-requests" => Some(Meter::Concurrent),
            _ => None,
        },
        Some(_) => None,
    };
    let window = match parameters.get("w") {
        None => None,
        Some(_) => Some(seconds(&parameters, "w").filter(|window| !window.is_zero())?),
    };
    Some(Policy {
        name,
        meter,
        quota: whole(&parameters, "q"),
        window,
    })
}

fn state((name, parameters): (String, Parameters)) -> State {
    State {
        name,
        remaining: whole(&parameters, "r"),
        reset: seconds(&parameters, "t"),
    }
}

/// The named items of a field, from all its lines. A field that is malformed anywhere has none.
///
/// Each line has to be a list by itself: two that are none can make one together, out of the halves
/// of what is no string in either.
fn items(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = (String, Parameters)> {
    let lines = || headers.get_all(name).iter().map(|line| line.as_bytes());
    let length: usize = lines().map(<[u8]>::len).sum();
    let lists = if length <= LONGEST_FIELD {
        lines().map(|line| Parser::new(line).parse()).collect()
    } else {
        Ok(Vec::new())
    };
    let lists: Vec<List> = lists.unwrap_or_default();
    lists.into_iter().flatten().filter_map(|entry| match entry {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::String(name) => Some((name.into(), item.params)),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    })
}

fn whole(parameters: &Parameters, key: &str) -> Option<u64> {
    match parameters.get(key)? {
        BareItem::Integer(number) => u64::try_from(i64::from(*number)).ok(),
        _ => None,
    }
}

fn seconds(parameters: &Parameters, key: &str) -> Option<Duration> {
    duration::plausible(Duration::from_secs(whole(parameters, key)?))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(policies: &[&'static str], states: &[&'static str]) -> Vec<ReportedLimit> {
        let mut headers = HeaderMap::new();
        for (name, lines) in [(&POLICIES, policies), (&STATES, states)] {
            for line in lines {
                headers.append(name.clone(), HeaderValue::from_static(line));
            }
        }
        limits(&headers)
    }

    fn report(
        meter: Meter,
        limit: Option<u64>,
        window: Option<u64>,
        remaining: Option<u64>,
        reset: Option<u64>,
    ) -> ReportedLimit {
        ReportedLimit {
            window: window.map(Duration::from_secs),
            limit,
            remaining,
            reset: reset.map(Duration::from_secs),
            ..ReportedLimit::of(meter)
        }
    }

    #[test]
    fn matches_policies_with_their_states() {
        let limits = read(
            &[r#""burst";q=100;w=60,"daily";q=1000;w=86400"#],
            &[r#""daily";r=50;t=3600, "burst";r=0;t=30"#],
        );
        let requests = |limit, window, remaining, reset| {
            report(
                Meter::Requests,
                Some(limit),
                Some(window),
                Some(remaining),
                Some(reset),
            )
        };
        assert_eq!(
            limits,
            [requests(100, 60, 0, 30), requests(1_000, 86_400, 50, 3_600)]
        );
    }

    #[test]
    fn units_decide_what_is_counted() {
        let policies = [
            r#""a";q=10;qu="concurrent-requests", "b";q=20;qu="content-bytes";w=1"#,
            r#""c";q=30;qu="requests";w=10;pk=:AAAA:, "d";q=40;qu=requests"#,
        ];
        let states = [r#""a";r=1, "b";r=2, "c";r=3, "d";r=4"#];
        assert_eq!(
            read(&policies, &states),
            [
                report(Meter::Concurrent, Some(10), None, Some(1), None),
                report(Meter::Requests, Some(30), Some(10), Some(3), None),
            ]
        );
    }

    #[test]
    fn either_field_may_be_missing() {
        assert_eq!(
            read(&[r#""a";q=10;w=60"#], &[]),
            [report(Meter::Requests, Some(10), Some(60), None, None)]
        );
        assert_eq!(
            read(&[], &[r#""a";r=3;t=7"#]),
            [report(Meter::Requests, None, None, Some(3), Some(7))]
        );
        assert_eq!(read(&[], &[]), []);
        assert_eq!(read(&[], &[]).capacity(), 0);
    }

    #[test]
    fn repeated_states_are_read_with_care() {
        assert_eq!(
            read(
                &[r#""a";q=10;w=60"#, r#""a";q=10;w=60"#],
                &[r#""a";r=5;t=1"#, r#""a";r=3;t=9"#, r#""a";r=4"#],
            ),
            [report(
                Meter::Requests,
                Some(10),
                Some(60),
                Some(3),
                Some(9)
            )]
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        let without_limit = [report(Meter::Requests, None, None, Some(3), None)];
        for (policies, expected) in [
            // Not a structured field, so nothing of it counts.
            (r#""a";q=10;w=60, ,"#, &without_limit[..]),
            ("limit=10, remaining=3", &without_limit),
            ("10, 10;w=60", &without_limit),
            (r#"a;q=10;w=60"#, &without_limit),
            (r#"("a" "b");q=10"#, &without_limit),
            // A window that no limit has.
            (r#""a";q=10;w=0"#, &without_limit),
            (r#""a";q=10;w=-60"#, &without_limit),
            (r#""a";q=10;w=31536000"#, &without_limit),
        ] {
            assert_eq!(read(&[policies], &[r#""a";r=3"#]), expected, "{policies}");
        }
        // Together, and only together, these are `";r=3, ";r=3`.
        assert_eq!(read(&[], &[r#"";r=3"#, r#"";r=3"#]), []);
        for quota in ["-1", "1.5", "\"10\"", "?1", "@10"] {
            let policy = format!(r#""a";q={quota};w=60"#);
            let headers =
                HeaderMap::from_iter([(POLICIES.clone(), HeaderValue::try_from(policy).unwrap())]);
            assert_eq!(limits(&headers), [], "{quota}");
        }
        let long = format!(r#""a";q=10;w=60;x="{}""#, "x".repeat(LONGEST_FIELD));
        let headers =
            HeaderMap::from_iter([(POLICIES.clone(), HeaderValue::try_from(long).unwrap())]);
        assert_eq!(limits(&headers), []);
    }
}
