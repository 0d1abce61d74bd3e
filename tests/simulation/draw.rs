//! Scenarios from seeds: what each family has in it.

use std::time::Duration;

use fastrand::Rng;
use proactive_rate_limit::simulator::Enforcement;
use proactive_rate_limit::simulator::faults::FaultKind;
use proactive_rate_limit::{Anchor, Charge, Limit, Margin, Spacing};

use crate::scenario::{Change, Client, Manner, Ours, Scenario, Server, Work};

/// What scenarios have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Patient clients of an exact provider on a network that only takes its time.
    Calm,
    /// Clients of every kind, who give up, leave, forget and try again.
    Manners,
    /// Those on a network where everything goes wrong.
    Faults,
    /// Providers as they really are.
    Twins,
    /// A key that others use, limits that change, several processes.
    Shared,
}

impl Family {
    const ALL: [Self; 5] = [
        Self::Calm,
        Self::Manners,
        Self::Faults,
        Self::Twins,
        Self::Shared,
    ];

    pub(crate) fn of(seed: u64) -> Self {
        let place = seed % Self::ALL.len() as u64;
        Self::ALL[usize::try_from(place).expect("a few")]
    }
}

impl Scenario {
    /// The scenario of a seed: its family is the seed's remainder.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut draw = Draw(Rng::with_seed(seed));
        let mut scenario = match Family::of(seed) {
            Family::Calm => draw.exact(|_| Manner::Patient),
            Family::Manners => draw.exact(Draw::manner),
            Family::Faults => draw.faulty(),
            Family::Twins => draw.twin(),
            Family::Shared => draw.shared(),
        };
        scenario.seed = seed;
        scenario
    }
}

/// What chance decides.
pub(crate) struct Draw(pub(crate) Rng);

impl Draw {
    /// An exact provider, and a network that only takes its time.
    pub(crate) fn exact(&mut self, manner: impl FnMut(&mut Self) -> Manner) -> Scenario {
        let server = self.server();
        let mut scenario = Scenario {
            seed: 0,
            server,
            limits: self.limits(),
            ours: self.ours(),
            faults: Vec::new(),
            connect_delay: Duration::ZERO,
            change: None,
            others: 0.0,
            processes: 1,
            clients: self.clients(manner),
        };
        self.allow_for(&mut scenario);
        scenario
    }

    fn faulty(&mut self) -> Scenario {
        let mut scenario = self.exact(Self::manner);
        scenario.connect_delay = self.millis(0..=200);
        scenario.server.failure_rate = self.0.f64() * 0.05;
        let often = self.0.f64() * 0.1;
        for kind in FaultKind::ALL {
            if self.one_in(2) {
                scenario.faults.push((kind, often * self.0.f64()));
            }
        }
        self.allow_for(&mut scenario);
        scenario
    }

    /// One thing at a time that an account shares with the rest of the world.
    fn shared(&mut self) -> Scenario {
        let manners = self.one_in(2);
        let mut scenario = self.exact(|draw| match manners {
            true => draw.manner(),
            false => Manner::Patient,
        });
        scenario.limits = self.told_limits();
        match self.0.u8(0..3) {
            0 => scenario.others = 0.5 * self.0.f64(),
            1 => {
                let limit = scenario.limits[self.0.usize(0..scenario.limits.len())];
                let percent = self.0.u64(60..=150);
                scenario.change = Some(Change {
                    at: self.millis(0..=60_000),
                    amount: (limit.amount() * percent / 100).max(1),
                    limit,
                });
            }
            _ => {
                scenario.processes = 2;
                for client in &mut scenario.clients {
                    client.process = self.0.usize(0..2);
                }
            }
        }
        scenario
    }

    fn server(&mut self) -> Server {
        let (charge, charges_at_end) = match self.0.u8(0..4) {
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
        let window = Duration::from_secs(self.pick(&[1, 5, 10, 60]));
        let margin = self.margin();
        let mut limits = vec![Limit::requests(self.0.u64(1..60)).per(window)];
        if self.one_in(2) {
            limits.push(Limit::tokens(self.0.u64(700..6_000)).per(window));
        }
        if self.one_in(4) {
            limits.push(Limit::requests(self.0.u64(20..200)).per(window * 7));
        }
        limits.iter().map(|limit| limit.margin(margin)).collect()
    }

    /// Limits that the provider's headers tell about: one of each meter, for they tell of the
    /// tightest only. With fewer requests than these, one of somebody else's is a large share.
    fn told_limits(&mut self) -> Vec<Limit> {
        let window = Duration::from_secs(self.pick(&[1, 5, 10, 60]));
        let margin = self.margin();
        let mut limits = vec![Limit::requests(self.0.u64(10..80)).per(window)];
        if self.one_in(2) {
            limits.push(Limit::tokens(self.0.u64(1_000..6_000)).per(window));
        }
        limits.iter().map(|limit| limit.margin(margin)).collect()
    }

    pub(crate) fn margin(&mut self) -> Margin {
        self.pick(&[Margin::Units(0), Margin::Percent(5), Margin::DEFAULT])
    }

    pub(crate) fn ours(&mut self) -> Ours {
        Ours {
            discovers: false,
            spacing: match self.0.u8(0..4) {
                0 => Spacing::Off,
                1 => Spacing::Fixed(self.millis(0..=200)),
                _ => Spacing::Even,
            },
            anchor: match self.one_in(4) {
                true => Anchor::Answer,
                false => Anchor::Bounded,
            },
            max_skew: Duration::ZERO,
            max_generation: Duration::ZERO,
            max_hold: Duration::from_secs(self.0.u64(5..=60)),
            grace: self.millis(20..=200),
            widest_margin: self.one_in(3).then_some(Margin::Percent(20)),
            follows_raises: self.one_in(2),
        }
    }

    /// Allows for what the network and the provider do, and for little more.
    pub(crate) fn allow_for(&mut self, scenario: &mut Scenario) {
        let slack = self.millis(0..=50);
        scenario.ours.max_skew = scenario.way() + slack;
        // A client may leave before its request has arrived.
        scenario.ours.max_generation = scenario.way() + scenario.longest_answer() + slack;
    }

    pub(crate) fn clients(&mut self, mut manner: impl FnMut(&mut Self) -> Manner) -> Vec<Client> {
        let alike = self.one_in(2).then(|| self.work());
        let in_a_rush = self.one_in(2);
        let pause = self.millis(0..=2_000);
        (0..self.0.usize(1..=25))
            .map(|_| Client {
                process: 0,
                own_layer: self.one_in(4),
                manner: manner(self),
                start: match in_a_rush {
                    true => Duration::ZERO,
                    false => self.millis(0..=10_000),
                },
                pause: match in_a_rush {
                    true => Duration::ZERO,
                    false => pause,
                },
                work: (0..self.0.usize(1..=8))
                    .map(|_| alike.unwrap_or_else(|| self.work()))
                    .collect(),
            })
            .collect()
    }

    pub(crate) fn manner(&mut self) -> Manner {
        match self.0.u8(0..11) {
            0..4 => Manner::Patient,
            4 => Manner::Impatient(self.millis(0..=20_000)),
            5 => Manner::Leaving(self.0.usize(0..20)),
            6 => Manner::Keeping(self.millis(0..=5_000)),
            7 => Manner::Unused(self.millis(0..=1_000)),
            8 => Manner::Late(self.millis(0..=3_000)),
            9 => Manner::PolledOnce(self.millis(0..=3_000)),
            _ => Manner::Retrying {
                times: self.0.u8(1..=3),
                pause: self.millis(0..=5_000),
            },
        }
    }

    fn work(&mut self) -> Work {
        Work {
            input: self.0.u64(1..=20),
            output: self.0.u64(1..=60),
            stream: self.one_in(2),
            told: self.one_in(2),
        }
    }

    pub(crate) fn one_in(&mut self, cases: u8) -> bool {
        self.0.u8(0..cases) == 0
    }

    pub(crate) fn millis(&mut self, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.0.u64(range))
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.0.usize(0..among.len())]
    }
}
