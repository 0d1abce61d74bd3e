//! Limits per calendar day against an oracle that counts by the provider's calendar.

use std::collections::BTreeMap;
use std::time::Duration;

use proactive_rate_limit::schedule::{
    Anchor, Cost, Decision, Dispatch, Entry, Proactive, SchedulingStrategy, Settlement, Spacing,
    Timestamp, Timing,
};
use proactive_rate_limit::{Charge, Limit, Zone};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const SKEW: Duration = Duration::from_secs(2);

fn limit() -> Limit {
    Limit::requests(20).per_calendar_day(Zone::PACIFIC)
}

fn strategy(clock_skew: Duration) -> Proactive {
    let mut timing = Timing::default();
    timing.clock_skew = clock_skew;
    Proactive::new([limit()], Charge::Reserved)
        .with_spacing(Spacing::Off)
        .with_timing(timing)
}

fn unix(text: &str) -> Duration {
    since_1970(text.parse().unwrap())
}

fn since_1970(instant: jiff::Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(instant.as_nanosecond()).unwrap())
}

fn pacific(unix: Duration) -> jiff::ZonedDateTime {
    let nanos = i128::try_from(unix.as_nanos()).unwrap();
    let instant = jiff::Timestamp::from_nanosecond(nanos).unwrap();
    instant.to_zoned_datetime(jiff::tz::TimeZone::get("America/Los_Angeles").unwrap())
}

/// Until the next midnight of the provider.
fn to_midnight(unix: Duration) -> Duration {
    let midnight = pacific(unix).tomorrow().unwrap().start_of_day().unwrap();
    since_1970(midnight.timestamp()) - unix
}

/// Plays some days of a client that sends what it may, mostly just before and after midnight. The
/// most that the provider counted in one of its days.
fn most_in_a_day(seed: u64, clock_skew: Duration) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut strategy = strategy(clock_skew);
    // Days of 24, 23 and 25 hours.
    let days = [
        "2026-11-24T10:00:00Z",
        "2026-03-08T05:00:00Z",
        "2026-11-01T05:00:00Z",
    ];
    let mut server = unix(days[rng.usize(..days.len())]);
    let ahead = Duration::from_millis(rng.u64(..=4_000));
    let mut counted: BTreeMap<jiff::civil::Date, u64> = BTreeMap::new();
    let mut under_way: BTreeMap<(Timestamp, u64), Entry> = BTreeMap::new();
    let mut now = Timestamp::ZERO;
    let end = now + 80 * HOUR;
    let mut sequence = 0;
    while now < end {
        let wall = server + now.saturating_since(Timestamp::ZERO);
        strategy.synchronise(now, wall + ahead - SKEW);
        while let Some(first) = under_way.first_entry() {
            if first.key().0 > now {
                break;
            }
            let mut entry = first.remove();
            strategy.answer(now, &mut entry);
            let settlement = match rng.bool() {
                true => Settlement::Charged(Cost::request()),
                false => Settlement::Abandoned,
            };
            strategy.settle(now, entry, settlement);
        }
        if rng.u8(..100) == 0 {
            // Suspended: the pool's clock stands still.
            server += Duration::from_secs(rng.u64(..7_200));
            continue;
        }
        let mut pause = match rng.u8(..4) {
            0 => Duration::from_millis(rng.u64(..500)),
            1 => to_midnight(wall).saturating_sub(Duration::from_millis(rng.u64(..4_000))),
            _ => Duration::ZERO,
        };
        match strategy.decide(now, &Cost::request()) {
            Decision::Admit => {
                let mut entry = strategy.reserve(now, &Cost::request());
                assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
                let arrives = Duration::from_millis(rng.u64(..=500));
                let day = pacific(wall + arrives).date();
                *counted.entry(day).or_default() += 1;
                sequence += 1;
                let head = arrives + Duration::from_millis(rng.u64(..2_000));
                under_way.insert((now + head, sequence), entry);
            }
            Decision::Wait(wait) => {
                let until = wait.until.expect("days end by themselves");
                pause = pause.max(until.saturating_since(now));
            }
            never => panic!("one request always fits: {never:?}"),
        }
        let mut next = now + pause;
        if let Some(((head, _), _)) = under_way.first_key_value() {
            next = next.min((*head).max(now));
        }
        now = next;
    }
    assert!(counted.len() >= 3, "seed {seed}");
    counted.into_values().max().unwrap_or_default()
}

#[test]
fn no_day_of_the_provider_counts_more_than_the_limit_less_its_margin() {
    let mut full = 0;
    for seed in 0..500 {
        let most = most_in_a_day(seed, SKEW);
        assert!(most <= limit().effective(), "seed {seed}: {most}");
        full += u64::from(most == limit().effective());
    }
    assert!(full > 450, "only {full} of 500 used a whole day");
}

#[test]
fn believing_the_clocks_to_agree_it_is_exceeded() {
    let exceeded = (0..500)
        .filter(|seed| most_in_a_day(*seed, Duration::ZERO) > limit().effective())
        .count();
    println!("{exceeded} of 500 schedules exceed a day");
    assert!(exceeded > 0, "removing the guard must be noticed");
}

/// Whatever the length of the day, all of it is there as soon as the clocks agree that it began.
#[test]
fn the_whole_day_can_be_used_as_soon_as_it_has_certainly_begun() {
    let mornings = [
        ("2026-11-24T10:00:00Z", 22 * HOUR),
        ("2026-03-08T10:00:00Z", 21 * HOUR),
        ("2026-11-01T10:00:00Z", 22 * HOUR),
    ];
    for (morning, to_midnight) in mornings {
        let mut strategy = strategy(SKEW);
        let send_all = |strategy: &mut Proactive, now: Timestamp| {
            strategy.synchronise(now, unix(morning) + now.saturating_since(Timestamp::ZERO));
            for _ in 0..limit().effective() {
                assert_eq!(strategy.decide(now, &Cost::request()), Decision::Admit);
                let mut entry = strategy.reserve(now, &Cost::request());
                assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
                strategy.settle(now, entry, Settlement::Charged(Cost::request()));
            }
        };
        send_all(&mut strategy, Timestamp::ZERO);
        let begins = Timestamp::ZERO + to_midnight + SKEW;
        let Decision::Wait(wait) = strategy.decide(Timestamp::ZERO, &Cost::request()) else {
            panic!("the day is used up");
        };
        assert_eq!(wait.until, Some(begins), "{morning}");
        let earliest = strategy.earliest(Timestamp::ZERO + SECOND, &Cost::request());
        assert!(earliest >= begins.saturating_sub(SECOND), "{morning}");
        send_all(&mut strategy, begins);
    }
}

/// A wall clock that was wrong and is set back across midnight: the day that it had begun goes on, and
/// what is sent meanwhile counts in it, whatever the anchor.
#[test]
fn a_clock_that_is_set_back_begins_no_day_anew() {
    for anchor in [Anchor::Bounded, Anchor::Answer] {
        let mut timing = Timing::default();
        timing.anchor = anchor;
        let mut strategy = Proactive::new([limit()], Charge::Reserved)
            .with_spacing(Spacing::Off)
            .with_timing(timing);
        let midnight = unix("2026-11-24T08:00:00Z");
        strategy.synchronise(Timestamp::ZERO, midnight + HOUR);
        let _ = strategy.decide(Timestamp::ZERO, &Cost::request());
        let mut sent = 0;
        for n in 1..=100 {
            let now = Timestamp::ZERO + SECOND * n;
            strategy.synchronise(now, midnight - HOUR + SECOND * n);
            if strategy.decide(now, &Cost::request()) != Decision::Admit {
                break;
            }
            let mut entry = strategy.reserve(now, &Cost::request());
            assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
            strategy.answer(now, &mut entry);
            strategy.settle(now, entry, Settlement::Charged(Cost::request()));
            sent += 1;
        }
        assert_eq!(sent, 18, "{anchor:?}");
    }
}
