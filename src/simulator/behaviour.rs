use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

/// How the simulated provider behaves, as far as chance decides.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    pub(super) arrival_latency: RangeInclusive<Duration>,
    pub(super) answer_latency: RangeInclusive<Duration>,
    pub(super) stream_latency: RangeInclusive<Duration>,
    pub(super) output_tokens: RangeInclusive<u64>,
    pub(super) failure_rate: f64,
    pub(super) seed: u64,
}

/// What chance decided for one request.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub(super) arrival_latency: Duration,
    pub(super) answer_latency: Duration,
    pub(super) output_tokens: u64,
    pub(super) fails: bool,
    pub(super) token_delays: TokenDelays,
}

/// The delay before each token of a stream, without end.
#[derive(Clone, Debug)]
pub(super) struct TokenDelays {
    rng: Rng,
    range: RangeInclusive<Duration>,
}

impl Behaviour {
    /// Draws for the request with this index. It depends on nothing but the seed and the index.
    ///
    /// All draws are made whether they are needed or not, so that an option which makes one of
    /// them irrelevant leaves the others as they were.
    pub(super) fn draw(&self, index: u64) -> Draw {
        let mut rng = Rng::with_seed(mixed(self.seed, index));
        Draw {
            arrival_latency: duration_in(&mut rng, &self.arrival_latency),
            answer_latency: duration_in(&mut rng, &self.answer_latency),
            output_tokens: rng.u64(self.output_tokens.clone()),
            fails: rng.f64() < self.failure_rate,
            token_delays: TokenDelays {
                rng,
                range: self.stream_latency.clone(),
            },
        }
    }

    /// The longest answer of the model.
    pub(super) fn longest_answer(&self) -> u64 {
        *self.output_tokens.end()
    }
}

impl TokenDelays {
    /// Whether there is never any delay.
    pub(super) fn are_none(&self) -> bool {
        self.range.end().is_zero()
    }

    /// How long it takes to generate this many tokens.
    pub(super) fn total(&self, tokens: u64) -> Duration {
        let mut delays = self.clone();
        (0..tokens).fold(Duration::ZERO, |total, _| {
            total.saturating_add(delays.draw())
        })
    }

    pub(super) fn draw(&mut self) -> Duration {
        duration_in(&mut self.rng, &self.range)
    }
}

fn duration_in(rng: &mut Rng, range: &RangeInclusive<Duration>) -> Duration {
    let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(nanos(range.start())..=nanos(range.end())))
}

/// Spreads neighbouring indices over the whole state (the finalizer of SplitMix64): the generator
/// steps by adding a constant, so seeds that are close would give streams that resemble each other.
pub(super) fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(seed: u64) -> Behaviour {
        Behaviour {
            arrival_latency: Duration::ZERO..=Duration::from_millis(100),
            answer_latency: Duration::from_millis(1)..=Duration::from_millis(9),
            stream_latency: Duration::ZERO..=Duration::from_millis(5),
            output_tokens: 10..=20,
            failure_rate: 0.25,
            seed,
        }
    }

    #[test]
    fn draws_stay_in_their_ranges() {
        let behaviour = behaviour(1);
        let draws: Vec<_> = (0..10_000).map(|index| behaviour.draw(index)).collect();

        for draw in &draws {
            assert!(behaviour.arrival_latency.contains(&draw.arrival_latency));
            assert!(behaviour.answer_latency.contains(&draw.answer_latency));
            assert!(behaviour.output_tokens.contains(&draw.output_tokens));
        }
        let failures = draws.iter().filter(|draw| draw.fails).count();
        assert!((2_300..2_700).contains(&failures), "{failures} of 10,000");
    }

    #[test]
    fn a_draw_depends_on_seed_and_index_only() {
        let arrival = |seed, index| behaviour(seed).draw(index).arrival_latency;

        assert_eq!(arrival(1, 7), arrival(1, 7));
        assert_ne!(arrival(1, 7), arrival(1, 8));
        assert_ne!(arrival(1, 7), arrival(2, 7));
    }

    #[test]
    fn the_total_is_the_sum_of_the_delays_to_come() {
        let mut delays = behaviour(1).draw(0).token_delays;
        let total = delays.total(50);

        assert_eq!(total, (0..50).map(|_| delays.draw()).sum());
    }
}
