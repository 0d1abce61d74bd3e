use std::ops::RangeInclusive;
use std::time::Duration;

use super::behaviour::Behaviour;
use super::ledger::Policy;
use super::provider::Simulator;
use crate::tier::Charge;

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
    policy: Policy,
    charging: Charging,
    behaviour: Behaviour,
}

/// What is counted as tokens, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charging {
    pub(super) charge: Charge,
    pub(super) charged_at: ChargedAt,
}

impl SimulatorBuilder {
    pub(super) fn new() -> Self {
        let none = Duration::ZERO..=Duration::ZERO;
        Self {
            policy: Policy {
                requests: None,
                tokens: None,
                window: Duration::from_secs(60),
                refused_count: false,
            },
            charging: Charging {
                charge: Charge::Reserved,
                charged_at: ChargedAt::Arrival,
            },
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

    /// At most this many requests per [window](Self::window). Unlimited by default; 0 refuses all.
    pub fn requests(mut self, limit: u64) -> Self {
        self.policy.requests = Some(limit);
        self
    }

    /// At most this many tokens per [window](Self::window), counted as [`charge`](Self::charge)
    /// says. Unlimited by default.
    pub fn tokens(mut self, limit: u64) -> Self {
        self.policy.tokens = Some(limit);
        self
    }

    /// The length of the sliding window of both limits. 60 s by default. In an empty window nothing
    /// is ever counted, so `Duration::ZERO` makes every limit void.
    pub fn window(mut self, window: Duration) -> Self {
        self.policy.window = window;
        self
    }

    /// What the limit on tokens counts for a request. [`Charge::Reserved`] by default.
    ///
    /// - [`Charge::Reserved`]: the tokens of its prompt plus the longest answer it allows (if it
    ///   states no cap, the upper end of [`output_tokens`](Self::output_tokens)), at arrival.
    ///   Nothing is ever given back.
    /// - [`Charge::Actual`]: the tokens of its prompt and of its answer, at the moment that
    ///   [`charged_at`](Self::charged_at) chooses; none if it fails.
    pub fn charge(mut self, charge: Charge) -> Self {
        self.charging.charge = charge;
        self
    }

    /// When [`Charge::Actual`] counts tokens. [`ChargedAt::Arrival`] by default; of no effect on
    /// [`Charge::Reserved`].
    pub fn charged_at(mut self, charged_at: ChargedAt) -> Self {
        self.charging.charged_at = charged_at;
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

    /// Whether a refused request counts against the limit on requests, so that a client that keeps
    /// trying keeps itself out. It does not by default. Refused requests never cost tokens.
    pub fn refused_count(mut self, counts: bool) -> Self {
        self.policy.refused_count = counts;
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
        Simulator::new(self.policy, self.charging, self.behaviour)
    }
}

fn ordered<T: PartialOrd>(range: RangeInclusive<T>) -> RangeInclusive<T> {
    let (start, end) = range.into_inner();
    if start <= end {
        start..=end
    } else {
        end..=start
    }
}
