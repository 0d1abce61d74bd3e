//! The strategy with all its options on, under whatever a provider may say and clocks may do: it
//! never panics, leaks nothing, and always begins again.

use std::time::Duration;

use proactive_rate_limit::schedule::{
    Anchor, Cost, Decision, Dispatch, Entry, Phase, Proactive, ReportedLimit, SchedulingStrategy,
    Settlement, Spacing, Timestamp, Timing,
};
use proactive_rate_limit::{Charge, Limit, Margin, Meter, Zone};
use proptest::prelude::*;

const METERS: [Meter; 5] = [
    Meter::Requests,
    Meter::Tokens,
    Meter::InputTokens,
    Meter::OutputTokens,
    Meter::Concurrent,
];

/// Times and amounts at which arithmetic breaks, and ordinary ones.
fn number(rng: &mut fastrand::Rng) -> u64 {
    match rng.u8(0..8) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => rng.u64(..),
        4 => rng.u64(..1_000_000),
        _ => rng.u64(..100),
    }
}

fn duration(rng: &mut fastrand::Rng) -> Duration {
    match rng.u8(0..6) {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::from_nanos(rng.u64(..)),
        3 => Duration::from_secs(rng.u64(..100_000)),
        _ => Duration::from_millis(rng.u64(..60_000)),
    }
}

fn report(rng: &mut fastrand::Rng) -> ReportedLimit {
    let mut report = ReportedLimit::of(METERS[rng.usize(..METERS.len())]);
    report.window = rng.bool().then(|| match rng.u8(0..4) {
        0 => duration(rng),
        1 => Duration::from_secs(1),
        2 => Duration::from_secs(24 * 60 * 60),
        _ => Duration::from_secs(60),
    });
    report.limit = rng.bool().then(|| number(rng));
    report.remaining = rng.bool().then(|| number(rng));
    report.reset = rng.bool().then(|| duration(rng));
    report.rounded_to = match rng.u8(0..4) {
        0 => number(rng),
        _ => 1,
    };
    report
}

fn limits(rng: &mut fastrand::Rng) -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut add = |rng: &mut fastrand::Rng, limit: Limit| {
        if rng.bool() {
            limits.push(limit.margin(Margin::Units(rng.u64(..3))));
        }
    };
    let amount = rng.u64(1..40);
    add(rng, Limit::requests(amount).per_minute());
    add(rng, Limit::requests(3).per_second());
    add(rng, Limit::requests(100).per_calendar_day(Zone::PACIFIC));
    add(rng, Limit::tokens(1_000).per_minute());
    add(rng, Limit::tokens(10_000).per_calendar_day(Zone::UTC));
    add(rng, Limit::input_tokens(700).per_minute());
    add(rng, Limit::output_tokens(700).per_minute());
    add(rng, Limit::concurrent(4));
    limits
}

fn strategy(rng: &mut fastrand::Rng) -> Proactive {
    let charge = match rng.bool() {
        true => Charge::Actual,
        false => Charge::Reserved,
    };
    let mut timing = Timing::default();
    if rng.u8(..4) == 0 {
        timing.anchor = Anchor::Answer;
    }
    let spacing = match rng.u8(..3) {
        0 => Spacing::Off,
        1 => Spacing::Even,
        _ => Spacing::Fixed(Duration::from_millis(20)),
    };
    let discovers = rng.u8(..4) == 0;
    let limits = match discovers {
        true => Vec::new(),
        false => limits(rng),
    };
    let mut strategy = Proactive::new(limits, charge)
        .with_spacing(spacing)
        .with_timing(timing);
    if rng.bool() {
        strategy = strategy.with_adaptive_margin(Margin::Percent(30));
    }
    if rng.bool() {
        strategy = strategy.following_raises();
    }
    if discovers {
        strategy = strategy.discovering(Margin::DEFAULT);
    }
    strategy
}

fn cost(rng: &mut fastrand::Rng) -> Cost {
    Cost::request()
        .with_tokens(rng.u64(..300))
        .with_input_tokens(rng.u64(..300))
        .with_output_tokens(rng.u64(..300))
}

struct Run {
    rng: fastrand::Rng,
    strategy: Proactive,
    now: Timestamp,
    /// Since 1970, when `now` was zero.
    wall: Duration,
    entries: Vec<Entry>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let strategy = strategy(&mut rng);
        Self {
            rng,
            strategy,
            now: Timestamp::ZERO,
            wall: Duration::from_secs(1_772_900_000),
            entries: Vec::new(),
        }
    }

    fn tell_the_time(&mut self) {
        let unix = self.wall + self.now.saturating_since(Timestamp::ZERO);
        self.strategy.synchronise(self.now, unix);
    }

    fn any_entry(&mut self) -> Option<Entry> {
        match self.entries.len() {
            0 => None,
            len => Some(self.entries.swap_remove(self.rng.usize(..len))),
        }
    }

    fn step(&mut self) {
        let now = self.now;
        self.tell_the_time();
        match self.rng.u8(..12) {
            0 | 1 => {
                let cost = cost(&mut self.rng);
                match self.strategy.decide(now, &cost) {
                    Decision::Admit => {
                        let entry = self.strategy.reserve(now, &cost);
                        self.entries.push(entry);
                    }
                    Decision::Wait(wait) => {
                        assert!(wait.until.is_none_or(|until| until > now), "{wait:?}");
                        let earliest = self.strategy.earliest(now, &cost);
                        assert!(earliest >= now);
                    }
                    _ => {}
                }
            }
            2 | 3 => {
                if let Some(mut entry) = self.any_entry() {
                    if entry.phase() == Phase::Reserved && self.rng.bool() {
                        let cost = cost(&mut self.rng);
                        self.strategy.resize(now, &mut entry, &cost);
                    }
                    match self.strategy.dispatch(now, &mut entry) {
                        Dispatch::Now => self.entries.push(entry),
                        Dispatch::Crowded => self.strategy.release(now, entry),
                    }
                }
            }
            4 | 5 => {
                if let Some(mut entry) = self.any_entry() {
                    self.strategy.answer(now, &mut entry);
                    if entry.phase() != Phase::Reserved {
                        let reports: Vec<_> = (0..self.rng.u8(..4))
                            .map(|_| report(&mut self.rng))
                            .collect();
                        self.strategy.reported(now, &mut entry, &reports);
                        if self.rng.u8(..4) == 0 {
                            let meter = self
                                .rng
                                .bool()
                                .then(|| METERS[self.rng.usize(..METERS.len())]);
                            self.strategy.throttled(now, &entry, meter);
                        }
                    }
                    self.entries.push(entry);
                }
            }
            6 | 7 => {
                if let Some(entry) = self.any_entry() {
                    self.end(entry);
                }
            }
            8 if self.rng.u8(..4) == 0 => {
                let until = now + Duration::from_millis(self.rng.u64(..300_000));
                self.strategy.paused(now, until);
            }
            9 if self.rng.u8(..4) == 0 => {
                let leap = Duration::from_secs(self.rng.u64(..200_000));
                self.wall = match self.rng.bool() {
                    true => self.wall + leap,
                    false => self.wall.saturating_sub(leap),
                };
            }
            _ => {
                let step = match self.rng.u8(..8) {
                    0 => Duration::from_secs(self.rng.u64(..4_000)),
                    1..4 => Duration::from_millis(self.rng.u64(..10_000)),
                    _ => Duration::from_micros(self.rng.u64(..50_000)),
                };
                self.now = now + step;
            }
        }
        for status in self.strategy.status(self.now) {
            assert!(status.others <= status.used, "{status:?}");
            assert!(status.effective >= 1, "{status:?}");
        }
    }

    fn end(&mut self, entry: Entry) {
        if entry.phase() == Phase::Reserved {
            self.strategy.release(self.now, entry);
            return;
        }
        let settlement = match self.rng.bool() {
            true => Settlement::Charged(cost(&mut self.rng)),
            false => Settlement::Abandoned,
        };
        self.strategy.settle(self.now, entry, settlement);
    }

    /// After everything has ended, requests pass again, one by one, and nothing stays counted.
    fn begin_again(&mut self) {
        while let Some(entry) = self.any_entry() {
            self.end(entry);
        }
        for _ in 0..3 {
            self.admit_one();
        }
        self.now = self.now + Duration::from_secs(40 * 24 * 60 * 60);
        self.tell_the_time();
        for status in self.strategy.status(self.now) {
            assert_eq!(status.used, 0, "{status:?}");
        }
    }

    fn admit_one(&mut self) {
        for _ in 0..200 {
            self.tell_the_time();
            match self.strategy.decide(self.now, &Cost::request()) {
                Decision::Admit => {
                    let mut entry = self.strategy.reserve(self.now, &Cost::request());
                    match self.strategy.dispatch(self.now, &mut entry) {
                        Dispatch::Now => {
                            self.strategy.answer(self.now, &mut entry);
                            self.strategy.reported(self.now, &mut entry, &[]);
                            let charged = Settlement::Charged(Cost::request());
                            self.strategy.settle(self.now, entry, charged);
                            return;
                        }
                        Dispatch::Crowded => self.strategy.release(self.now, entry),
                    }
                }
                Decision::Wait(wait) => {
                    let until = wait.until.expect("nothing is under way");
                    assert!(until > self.now, "{wait:?}");
                    self.now = until;
                }
                never => panic!("one request always fits: {never:?}"),
            }
        }
        panic!("nothing is admitted any more: {:?}", self.strategy);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn whatever_is_said_it_begins_again(seed in any::<u64>(), steps in 10_usize..400) {
        let mut run = Run::new(seed);
        for _ in 0..steps {
            run.step();
        }
        run.begin_again();
    }
}
