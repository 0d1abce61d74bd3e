//! Each limiter against what it is defined to do, worked out over everything that was ever counted.

use std::time::SystemTime;

use fastrand::Rng;
use jiff::Timestamp;
use jiff::civil::Date;

use super::*;
use crate::simulator::clock::WallClock;
use crate::simulator::enforcement::Midnight;

/// Everything counted: when, and how much.
type History = Vec<(Duration, u64)>;

const NANO: Duration = Duration::from_nanos(1);

/// Plays random requests and checks every answer against `used`: what is used of a limit at a
/// moment, rounded up to whole units, as a fraction that is missing keeps a whole one from fitting.
/// Between two requests up to `step` passes.
fn compare<L: Limiter>(
    seed: u64,
    step: Duration,
    make: impl Fn(u64) -> L,
    used: impl Fn(&History, u64, Duration) -> u64,
) {
    let mut rng = Rng::with_seed(seed);
    let limit = rng.u64(1..=20);
    let mut limiter = make(limit);
    let mut history = History::new();
    let mut now = Duration::ZERO;
    let steps = [Duration::ZERO, NANO, step / 10, step];
    for request in 0..200 {
        now += match rng.usize(0..6) {
            choice @ 0..4 => steps[choice],
            _ => step.mul_f64(rng.f64()),
        };
        let context = format!("seed {seed}, request {request}, limit {limit}, at {now:?}");
        limiter.expire(now);
        let now_used = used(&history, limit, now);
        assert_eq!(limiter.used(), now_used, "{context}");
        let left = limit.saturating_sub(now_used);
        assert_eq!(limiter.remaining(), left, "{context}");

        let amount = rng.u64(0..=8);
        let fits =
            |history: &History, at| amount == 0 || used(history, limit, at) + amount <= limit;
        assert_eq!(limiter.fits(amount), fits(&history, now), "{context}");
        match limiter.wait_for(now, amount) {
            Wait::NONE => assert!(fits(&history, now), "{context}"),
            Wait::For(wait) => {
                assert!(fits(&history, now + wait), "{context}: {wait:?}");
                assert!(!fits(&history, now + wait - NANO), "{context}: {wait:?}");
            }
            Wait::Forever => assert!(amount > limit, "{context}"),
            Wait::ForAnother => panic!("{context}: nothing is in flight"),
        }
        let empty = now + limiter.wait_until_empty(now);
        assert_eq!(used(&history, limit, empty), 0, "{context}");
        if empty > now {
            let before = used(&history, limit, empty - NANO);
            assert!(before > 0, "{context}");
        }

        // Now and then something is counted that does not fit: known only after the fact.
        if limiter.fits(amount) || rng.u8(0..10) == 0 {
            limiter.count(now, amount);
            history.push((now, amount));
        }
    }
}

fn sum(history: &History, counts: impl Fn(Duration) -> bool) -> u64 {
    let counted = history.iter().filter(|&&(at, _)| counts(at));
    counted.map(|&(_, amount)| amount).sum()
}

#[test]
fn a_sliding_log_sums_up_its_window() {
    const WINDOW: Duration = Duration::from_secs(10);
    for seed in 0..300 {
        compare(
            seed,
            Duration::from_secs(4),
            |limit| SlidingLog::new(limit, WINDOW),
            |history, _, now| sum(history, |at| at + WINDOW > now),
        );
    }
}

/// What is missing at a time is the most by which what was counted since some request exceeds what
/// came back since then: no refill is lost in between, and none is kept beyond a full bucket.
#[test]
fn a_bucket_misses_what_was_not_refilled_since_it_was_full() {
    // A prime, so that a unit comes back in no whole number of nanoseconds.
    const WINDOW: Duration = Duration::from_nanos(10_000_000_019);
    for seed in 0..300 {
        compare(
            seed,
            Duration::from_secs(3),
            |limit| TokenBucket::new(limit, WINDOW),
            |history, limit, now| {
                let window = WINDOW.as_nanos() as i128;
                let missing = (0..history.len()).map(|first| {
                    let (start, _) = history[first];
                    let counted: u64 = history[first..].iter().map(|&(_, n)| n).sum();
                    let refilled = (now - start).as_nanos() as i128 * i128::from(limit);
                    i128::from(counted) * window - refilled
                });
                let missing = missing.fold(0, i128::max);
                u64::try_from((missing + window - 1) / window).unwrap()
            },
        );
    }
}

fn random_clock(seed: u64) -> WallClock {
    let unix_seconds = Rng::with_seed(seed).u64(1_700_000_000..1_900_000_000);
    WallClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds))
}

#[test]
fn a_counter_sums_up_the_period_of_the_clock() {
    const PERIOD: Duration = Duration::from_secs(60);
    for seed in 0..300 {
        let clock = random_clock(seed);
        let number = move |at| clock.since_epoch(at).as_nanos() / PERIOD.as_nanos();
        compare(
            seed,
            Duration::from_secs(25),
            move |limit| FixedCounter::new(limit, Periods::Every(PERIOD, clock)),
            move |history, _, now| sum(history, |at| number(at) == number(now)),
        );
    }
}

/// Through years of days, those with 23 and 25 hours among them.
#[test]
fn a_daily_counter_sums_up_the_date_of_the_zone() {
    for seed in 0..20 {
        for midnight in [Midnight::Utc, Midnight::Pacific] {
            let clock = random_clock(seed);
            let date = move |at| -> Date {
                let time = Timestamp::try_from(clock.at(at).unwrap()).unwrap();
                time.to_zoned_datetime(midnight.zone()).date()
            };
            compare(
                seed,
                Duration::from_secs(15 * 3_600),
                move |limit| FixedCounter::new(limit, Periods::Days(midnight, clock)),
                move |history, _, now| {
                    // Older ones are of another date for certain.
                    let recent = |at| at + Duration::from_secs(26 * 3_600) > now;
                    sum(history, |at| recent(at) && date(at) == date(now))
                },
            );
        }
    }
}

#[test]
fn places_in_flight_are_those_begun_and_not_ended() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        let limit = rng.u64(1..=5);
        let mut places = Concurrency::new(limit);
        let mut in_flight = 0;
        for step in 0..300 {
            let context = format!("seed {seed}, step {step}, limit {limit}");
            let fits = in_flight < limit;
            assert_eq!(places.fits(1), fits, "{context}");
            let wait = if fits { Wait::NONE } else { Wait::ForAnother };
            assert_eq!(places.wait_for(Duration::ZERO, 1), wait, "{context}");
            if fits && rng.bool() {
                places.count(Duration::ZERO, 1);
                in_flight += 1;
            } else if in_flight > 0 {
                places.release(1);
                in_flight -= 1;
            }
            assert_eq!(places.used(), in_flight, "{context}");
        }
    }
}
