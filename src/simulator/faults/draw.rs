use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use super::kind::{FaultKind, Stage};
use super::plan::Faults;

/// A fault strikes a body within its first so many bytes, or at its end if that comes first.
const LATEST_STRIKE: u64 = 2 * 1024;

/// What chance decided for one request.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub(super) connect: Option<FaultKind>,
    pub(super) head: Option<FaultKind>,
    pub(super) answer: Option<FaultKind>,
    pub(super) retry_after_fault: Option<FaultKind>,
    pub(super) headers: Option<FaultKind>,
    pub(super) body: Option<FaultKind>,
    pub(super) closes: bool,
    pub(super) connect_delay: Duration,
    pub(super) head_delay: Duration,
    pub(super) stall: Duration,
    pub(super) retry_after: Duration,
    pub(super) close_delay: Duration,
    /// Whether an injected 5xx says how long to wait.
    pub(super) failure_has_retry_after: bool,
    /// How many bytes of a body pass before its fault.
    pub(super) body_position: u64,
    /// For the texts of headers.
    pub(super) rng: Rng,
}

impl Faults {
    /// Draws for the request with this index. It depends on nothing but the seed and the index.
    ///
    /// All draws are made whether they are needed or not, so that a rate or a range which is changed
    /// leaves the other draws as they were.
    pub(super) fn draw(&self, index: u64) -> Draw {
        let mut rng = rng_of(self.seed, index);
        let strikes: Vec<_> = FaultKind::ALL
            .into_iter()
            .filter(|kind| rng.f64() < self.rates[kind.index()])
            .collect();
        let mut strike = |stage| pick(&mut rng, &strikes, stage);
        Draw {
            connect: strike(Stage::Connect),
            head: strike(Stage::Head),
            answer: strike(Stage::Answer),
            retry_after_fault: strike(Stage::RetryAfter),
            headers: strike(Stage::Headers),
            body: strike(Stage::Body),
            closes: strike(Stage::Connection).is_some(),
            connect_delay: duration_in(&mut rng, &self.connect_delay),
            head_delay: duration_in(&mut rng, &self.head_delay),
            stall: duration_in(&mut rng, &self.stall),
            retry_after: duration_in(&mut rng, &self.retry_after),
            close_delay: duration_in(&mut rng, &self.close_delay),
            failure_has_retry_after: rng.bool(),
            body_position: rng.u64(0..LATEST_STRIKE),
            rng,
        }
    }
}

/// Seed and index go through the generator one after the other: added up, one seed's requests would
/// be its neighbour's, one place further.
fn rng_of(seed: u64, index: u64) -> Rng {
    let seed = Rng::with_seed(seed).u64(..);
    Rng::with_seed(Rng::with_seed(seed.wrapping_add(index)).u64(..))
}

/// One of the kinds that strike in this place.
fn pick(rng: &mut Rng, strikes: &[FaultKind], stage: Stage) -> Option<FaultKind> {
    let chance = rng.f64();
    let here: Vec<_> = strikes
        .iter()
        .copied()
        .filter(|kind| kind.stage() == stage)
        .collect();
    here.get((chance * here.len() as f64) as usize).copied()
}

fn duration_in(rng: &mut Rng, range: &RangeInclusive<Duration>) -> Duration {
    let nanos = |duration: &Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (start, end) = (nanos(range.start()), nanos(range.end()));
    Duration::from_nanos(rng.u64(start.min(end)..=start.max(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(draw: &Draw) -> Vec<FaultKind> {
        let places = [
            draw.connect,
            draw.head,
            draw.answer,
            draw.retry_after_fault,
            draw.headers,
            draw.body,
            draw.closes.then_some(FaultKind::CloseAfterAnswer),
        ];
        places.into_iter().flatten().collect()
    }

    #[test]
    fn a_kind_alone_strikes_at_its_rate() {
        for kind in FaultKind::ALL {
            let faults = Faults::new().inject(kind, 0.25).seed(3);
            let struck = (0..10_000)
                .filter(|&index| strikes(&faults.draw(index)) == [kind])
                .count();
            assert!(
                (2_300..2_700).contains(&struck),
                "{kind}: {struck} of 10,000"
            );
        }
    }

    #[test]
    fn kinds_of_one_place_take_turns() {
        let faults = Faults::new().inject_all(1.0);
        let mut struck = [0; FaultKind::ALL.len()];
        for index in 0..7_000 {
            for kind in strikes(&faults.draw(index)) {
                struck[kind.index()] += 1;
            }
        }
        for kind in FaultKind::ALL {
            let rivals = FaultKind::ALL
                .into_iter()
                .filter(|rival| rival.stage() == kind.stage())
                .count();
            let share = struck[kind.index()] * rivals;
            assert!((6_000..8_000).contains(&share), "{kind}: {share} of 7,000");
        }
    }

    #[test]
    fn a_draw_depends_on_seed_and_index_only() {
        let delay = |seed, index| Faults::new().seed(seed).draw(index).connect_delay;

        assert_eq!(delay(1, 7), delay(1, 7));
        assert_ne!(delay(1, 7), delay(1, 8));
        assert_ne!(delay(1, 7), delay(2, 7));
        assert_ne!(delay(1, 7), delay(2, 6));
    }

    #[test]
    fn a_rate_leaves_the_draws_of_other_kinds_alone() {
        let plain = Faults::new().inject(FaultKind::BodyCut, 0.5);
        let busy = plain.clone().inject(FaultKind::ConnectRefused, 0.5);
        for index in 0..1_000 {
            let (plain, busy) = (plain.draw(index), busy.draw(index));
            assert_eq!(plain.body, busy.body);
            assert_eq!(plain.stall, busy.stall);
            assert_eq!(plain.body_position, busy.body_position);
        }
    }

    #[test]
    fn ranges_may_be_given_in_either_order() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(2));
        let faults = Faults::new().stall(long..=short);
        for index in 0..100 {
            assert!((short..=long).contains(&faults.draw(index).stall));
        }
    }
}
