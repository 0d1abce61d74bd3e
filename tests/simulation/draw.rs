//! Scenarios from seeds.

use std::time::Duration;

use fastrand::Rng;
use proactive_rate_limit::simulator::Enforcement;
use proactive_rate_limit::{Anchor, Charge, Limit, Margin, Spacing};

use crate::scenario::{Client, Manner, Ours, Scenario, Server, Work};

/// What scenarios have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Patient clients of an exact provider on a network that only takes its time.
    Calm,
}

impl Family {
    pub(crate) const ALL: [Self; 1] = [Self::Calm];
}

impl Scenario {
    /// The scenario of a seed: its family is the seed's remainder.
    pub(crate) fn draw(seed: u64) -> Self {
        let families = Family::ALL.len() as u64;
        let family = Family::ALL[usize::try_from(seed % families).expect("a few")];
        Drawing {
            rng: Rng::with_seed(seed),
            seed,
        }
        .scenario(family)
    }
}

struct Drawing {
    rng: Rng,
    seed: u64,
}

impl Drawing {
    fn scenario(&mut self, family: Family) -> Scenario {
        match family {
            Family::Calm => self.calm(),
        }
    }

    fn calm(&mut self) -> Scenario {
        let server = self.exact_server();
        let limits = self.limits();
        let mut scenario = Scenario {
            seed: self.seed,
            server,
            limits,
            ours: self.ours(),
            faults: Vec::new(),
            connect_delay: Duration::ZERO,
            change: None,
            others: 0.0,
            processes: 1,
            clients: Vec::new(),
        };
        scenario.clients = self.clients(|_| Manner::Patient);
        self.settle_timing(&mut scenario);
        scenario
    }

    fn exact_server(&mut self) -> Server {
        let (charge, charges_at_end) = match self.rng.u8(0..4) {
            0 => (Charge::Actual, true),
            1 => (Charge::Actual, false),
            _ => (Charge::Reserved, false),
        };
        Server {
            twin: None,
            enforcement: self.pick(&[
                Enforcement::SlidingLog,
                Enforcement::SlidingLog,
                Enforcement::TokenBucket,
                Enforcement::FixedCounter,
            ]),
            charge,
            charges_at_end,
            arrival: self.millis(0..=450),
            answer: self.millis(0..=3_000),
            token: self.millis(0..=40),
            failure_rate: 0.0,
        }
    }

    fn limits(&mut self) -> Vec<Limit> {
        let window = self.pick(&[1, 5, 10, 60]);
        let window = Duration::from_secs(window);
        let margin = match self.rng.u8(0..3) {
            0 => Margin::Units(0),
            1 => Margin::Percent(5),
            _ => Margin::DEFAULT,
        };
        let mut limits = vec![
            Limit::requests(self.rng.u64(1..60))
                .per(window)
                .margin(margin),
        ];
        if self.rng.bool() {
            let tokens = Limit::tokens(self.rng.u64(700..6_000)).per(window);
            limits.push(tokens.margin(margin));
        }
        if self.rng.u8(0..4) == 0 {
            let longer = Limit::requests(self.rng.u64(20..200)).per(window * 7);
            limits.push(longer.margin(margin));
        }
        limits
    }

    fn ours(&mut self) -> Ours {
        Ours {
            discovers: false,
            spacing: match self.rng.u8(0..4) {
                0 => Spacing::Off,
                1 => Spacing::Fixed(self.millis(0..=200)),
                _ => Spacing::Even,
            },
            anchor: match self.rng.u8(0..4) {
                0 => Anchor::Answer,
                _ => Anchor::Bounded,
            },
            max_skew: Duration::ZERO,
            max_generation: Duration::ZERO,
            max_hold: Duration::from_secs(self.rng.u64(5..=60)),
            grace: self.millis(20..=200),
            widest_margin: (self.rng.u8(0..3) == 0).then_some(Margin::Percent(20)),
            follows_raises: self.rng.bool(),
        }
    }

    /// Allows for what the network and the provider do, and little more.
    fn settle_timing(&mut self, scenario: &mut Scenario) {
        let slack = self.millis(0..=50);
        scenario.ours.max_skew = scenario.way() + slack;
        // It may leave before the request has arrived.
        scenario.ours.max_generation = scenario.way() + scenario.longest_answer() + slack;
    }

    fn clients(&mut self, mut manner: impl FnMut(&mut Self) -> Manner) -> Vec<Client> {
        let alike = self.rng.bool().then(|| self.work());
        let pause = self.millis(0..=2_000);
        let rushed = self.rng.bool();
        let clients = self.rng.usize(1..=25);
        (0..clients)
            .map(|_| Client {
                process: 0,
                own_layer: self.rng.u8(0..4) == 0,
                manner: manner(self),
                start: match rushed {
                    true => Duration::ZERO,
                    false => self.millis(0..=10_000),
                },
                pause: match rushed {
                    true => Duration::ZERO,
                    false => pause,
                },
                work: (0..self.rng.usize(1..=8))
                    .map(|_| alike.unwrap_or_else(|| self.work()))
                    .collect(),
            })
            .collect()
    }

    fn work(&mut self) -> Work {
        Work {
            input: self.rng.u64(1..=20),
            output: self.rng.u64(1..=60),
            stream: self.rng.bool(),
            told: self.rng.bool(),
        }
    }

    fn millis(&mut self, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.rng.usize(0..among.len())]
    }
}
