use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use super::account::Account;
use super::behaviour::Behaviour;
use super::clock::{Clock, WallClock};
use super::enforcement::Enforcement;
use super::gate::Gate;
use super::ledger::Ledger;
use super::others::OtherTraffic;
use super::provider::{Shared, Simulator};
use super::twin::{Dialect, TokenCharge, Twin};
use crate::tier::{Charge, Limit, Meter};

/// The wall clock starts at 08:00 UTC on 15 January 2027 unless told otherwise, in Unix seconds.
const STARTS_AT: Duration = Duration::from_secs(1_800_000_000);

/// When tokens are counted, where the tokens really used are what counts ([`Charge::Actual`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChargedAt {
    /// At arrival. Being simulated, the provider knows how long its answer will be, and refuses a
    /// request whose actual tokens do not fit.
    #[default]
    Arrival,
    /// When the answer has been generated, whether or not somebody is reading it. A request is then
    /// refused only if its prompt does not fit, so the provider can count more than its limit: the
    /// [worst window](super::MeterReport::worst_window) tells.
    End,
}

/// Configures a [`Simulator`]. The default has no limits and no latencies.
///
/// Ranges include both ends, which may be given in either order; `x..=x` is a constant.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `.build()`"]
pub struct SimulatorBuilder {
    twin: Option<Twin>,
    requests: Option<u64>,
    tokens: Option<u64>,
    window: Duration,
    /// Limits beside those two, and how to enforce them if not as the twin does.
    limits: Vec<(Limit, Option<Enforcement>)>,
    charge: Option<Charge>,
    charged_at: ChargedAt,
    refused_count: Option<bool>,
    account: Account,
    others: Option<OtherTraffic>,
    starts_at: SystemTime,
    behaviour: Behaviour,
}

impl SimulatorBuilder {
    pub(super) fn new() -> Self {
        let none = Duration::ZERO..=Duration::ZERO;
        Self {
            twin: None,
            requests: None,
            tokens: None,
            window: Duration::from_secs(60),
            limits: Vec::new(),
            charge: None,
            charged_at: ChargedAt::Arrival,
            refused_count: None,
            account: Account::Active,
            others: None,
            starts_at: SystemTime::UNIX_EPOCH + STARTS_AT,
            behaviour: Behaviour {
                arrival_latency: none.clone(),
                answer_latency: none.clone(),
                stream_latency: none,
                output_tokens: 16..=64,
                failure_rate: 0.0,
                seed: 0,
            },
        }
    }

    pub(super) fn of(twin: Twin) -> Self {
        Self {
            twin: Some(twin),
            ..Self::new()
        }
    }

    /// At most this many requests per [window](Self::window). Unlimited by default; 0 refuses all.
    pub fn requests(mut self, limit: u64) -> Self {
        self.requests = Some(limit);
        self
    }

    /// At most this many tokens per [window](Self::window), counted as [`charge`](Self::charge)
    /// says. Unlimited by default.
    pub fn tokens(mut self, limit: u64) -> Self {
        self.tokens = Some(limit);
        self
    }

    /// The length of the window of both these limits, and of those in the report that have no limit.
    /// 60 s by default. In an empty window nothing is ever counted, so `Duration::ZERO` makes both
    /// limits void.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Another limit, beside those on requests and tokens: enforced as the [`Twin`] does, or by an
    /// exact sliding log. In the place of an earlier one on the same meter and window.
    ///
    /// A request must fit into every limit. A limit on output tokens lets it pass while there is
    /// anything left, and counts what is generated as it is, so it can be exceeded.
    ///
    /// ```
    /// use proactive_rate_limit::Limit;
    /// use proactive_rate_limit::simulator::{Simulator, Twin};
    ///
    /// let gemini = Simulator::twin(Twin::Gemini)
    ///     .requests(5)
    ///     .limit(Limit::requests(20).per_day())
    ///     .build();
    /// # assert_eq!(gemini.report().meters[1].limit, Some(20));
    /// ```
    pub fn limit(self, limit: Limit) -> Self {
        self.add(limit, None)
    }

    /// The same, enforced in this way whatever the twin does. A limit that is to be enforced in
    /// several ways is given once for each.
    pub fn limit_by(self, limit: Limit, enforcement: Enforcement) -> Self {
        self.add(limit, Some(enforcement))
    }

    fn add(mut self, limit: Limit, enforcement: Option<Enforcement>) -> Self {
        self.limits.retain(|(other, by)| {
            !(is_same(other, &limit)
                && (enforcement.is_none() || by.is_none() || *by == enforcement))
        });
        self.limits.push((limit, enforcement));
        self
    }

    /// What limits on tokens of both kinds count for a request. [`Charge::Reserved`] by default; a
    /// [`Twin`] charges as its provider does unless told otherwise here.
    ///
    /// - [`Charge::Reserved`]: the tokens of its prompt plus the longest answer it allows (if it
    ///   states no cap, the upper end of [`output_tokens`](Self::output_tokens)), at arrival.
    ///   Nothing is ever given back.
    /// - [`Charge::Actual`]: the tokens of its prompt and of its answer, at the moment that
    ///   [`charged_at`](Self::charged_at) chooses; none if it fails.
    pub fn charge(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// When [`Charge::Actual`] counts tokens. [`ChargedAt::Arrival`] by default; of no effect on
    /// [`Charge::Reserved`], nor on a twin whose [`charge`](Self::charge) is left to it.
    pub fn charged_at(mut self, charged_at: ChargedAt) -> Self {
        self.charged_at = charged_at;
        self
    }

    /// How long a request travels before the limiter looks at it. None by default.
    pub fn arrival_latency(mut self, range: RangeInclusive<Duration>) -> Self {
        self.behaviour.arrival_latency = ordered(range);
        self
    }

    /// From the arrival of a request to the head of its answer. None by default. Refusals and
    /// malformed requests are answered at once.
    pub fn answer_latency(mut self, range: RangeInclusive<Duration>) -> Self {
        self.behaviour.answer_latency = ordered(range);
        self
    }

    /// The delay before each token of a streamed answer. None by default. An answer that is not
    /// streamed is complete with its head.
    pub fn stream_latency(mut self, range: RangeInclusive<Duration>) -> Self {
        self.behaviour.stream_latency = ordered(range);
        self
    }

    /// How many tokens an answer has, unless the request caps it lower. 16 to 64 by default.
    pub fn output_tokens(mut self, range: RangeInclusive<u64>) -> Self {
        self.behaviour.output_tokens = ordered(range);
        self
    }

    /// The share of admitted requests that are answered with status 500, from 0.0 (the default and
    /// the meaning of NaN) to 1.0. They count as requests.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.behaviour.failure_rate = rate;
        self
    }

    /// Whether a refused request counts against limits on requests, so that a client that keeps
    /// trying keeps itself out. It does not by default, but at some twins. Refused requests never
    /// cost tokens.
    pub fn refused_count(mut self, counts: bool) -> Self {
        self.refused_count = Some(counts);
        self
    }

    /// The state of the account. [`Account::Active`] by default;
    /// [`Simulator::set_account`] changes it while running.
    pub fn account(mut self, account: Account) -> Self {
        self.account = account;
        self
    }

    /// Lets somebody else use the same limits. Nobody does by default.
    pub fn others(mut self, others: OtherTraffic) -> Self {
        self.others = Some(others);
        self
    }

    /// The date and time at which the simulator's own wall clock starts; from then on it moves with
    /// tokio's clock. 08:00 UTC on 15 January 2027 by default.
    ///
    /// It decides when minutes and days begin, and is the time in headers and answers.
    pub fn starts_at(mut self, starts_at: SystemTime) -> Self {
        self.starts_at = starts_at;
        self
    }

    /// The seed of everything random. 0 by default: runs repeat unless told otherwise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.behaviour.seed = seed;
        self
    }

    /// Builds the simulator and starts its clock.
    ///
    /// Build it inside the runtime that it will serve on: a paused clock is known only there.
    pub fn build(self) -> Simulator {
        let dialect = self.twin.unwrap_or(Twin::OpenAi).dialect();
        let wall_clock = WallClock::starting_at(self.starts_at);
        let counts_refused = self
            .refused_count
            .unwrap_or(self.twin.is_some() && dialect.counts_refused());
        let ledger = Ledger::new(
            self.gates(dialect, wall_clock),
            dialect,
            counts_refused,
            self.account,
        );
        Simulator::new(Shared {
            clock: Clock::start(),
            wall_clock,
            dialect,
            charge: self.token_charge(dialect),
            behaviour: self.behaviour,
            window: self.window,
            ledger: Mutex::new(ledger),
        })
    }

    fn token_charge(&self, dialect: &dyn Dialect) -> TokenCharge {
        match (self.charge, self.charged_at) {
            (None, _) if self.twin.is_some() => dialect.charge(),
            (None | Some(Charge::Reserved), _) => TokenCharge::Reserved,
            (Some(Charge::Actual), ChargedAt::Arrival) => TokenCharge::Actual,
            (Some(Charge::Actual), ChargedAt::End) => TokenCharge::ActualAtEnd,
        }
    }

    /// What requests have to pass, requests and tokens first. Both are counted in any case.
    fn gates(&self, dialect: &dyn Dialect, clock: WallClock) -> Vec<Gate> {
        let usual = [
            self.requests.map(|n| Limit::requests(n).per(self.window)),
            self.tokens.map(|n| Limit::tokens(n).per(self.window)),
        ];
        let usual = usual.into_iter().flatten();
        let limits = usual
            .filter(|limit| !self.limits.iter().any(|(other, _)| is_same(other, limit)))
            .map(|limit| (limit, None))
            .chain(self.limits.iter().copied());
        let mut gates = Vec::new();
        for (limit, enforcement) in limits {
            let enforcements = match (enforcement, self.twin) {
                (Some(enforcement), _) => vec![enforcement],
                (None, Some(_)) => dialect.enforcements(&limit),
                (None, None) => vec![Enforcement::SlidingLog],
            };
            let ways = enforcements.into_iter();
            gates.extend(ways.map(|by| Gate::new(limit, by, clock)));
        }
        if let Some(others) = self.others {
            for (place, gate) in (0..).zip(&mut gates) {
                gate.share_with(others, self.behaviour.seed, place);
            }
        }
        for limit in [Limit::tokens(0), Limit::requests(0)] {
            let limit = limit.per(self.window);
            if gates.iter().all(|gate| gate.meter() != limit.meter()) {
                gates.push(Gate::unlimited(limit));
            }
        }
        gates.sort_by_key(|gate| match gate.meter() {
            Meter::Requests => 0,
            Meter::Tokens => 1,
            Meter::InputTokens | Meter::OutputTokens | Meter::Concurrent => 2,
        });
        gates
    }
}

/// Whether two limits are one but for their amounts.
fn is_same(one: &Limit, other: &Limit) -> bool {
    one.meter() == other.meter() && one.window() == other.window()
}

fn ordered<T: PartialOrd>(range: RangeInclusive<T>) -> RangeInclusive<T> {
    let (start, end) = range.into_inner();
    if start <= end {
        start..=end
    } else {
        end..=start
    }
}
