/// How long the answers of one class get, as shares of their cap, learned from those that ended.
///
/// It bounds how long several further answers get together. For independent answers of one
/// distribution, Chernoff's bound holds: with probability 1 - ε, `n` of them are together no longer
/// than `(n · ln E[exp(θ·x)] + ln 1/ε) / θ` caps, for any θ > 0. The expectations for some θ are
/// estimated by running means. What no answer has shown yet may exist all the same: a length that
/// has probability `ln(1/ε) / k` has been seen in `k` answers, except with probability ε, so that
/// share of the answers is taken to reach the cap. Without any answer yet, all are.
#[derive(Debug)]
pub(super) struct Lengths {
    seen: u64,
    /// Running means of `exp(θ·x)` for each θ.
    means: [f64; THETAS.len()],
    /// For each θ, the bound's length per answer, in caps.
    slopes: [f64; THETAS.len()],
    /// ln 1/ε.
    certainty: f64,
}

/// From many short answers in flight to a few long ones.
const THETAS: [f64; 12] = [
    0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0,
];

/// As many answers are remembered, the older ones less. More would tell more of rare long ones, and
/// follow a change more slowly.
const MEMORY: u64 = 4096;

impl Lengths {
    pub(super) fn new(certainty: f64) -> Self {
        Self {
            seen: 0,
            means: [1.0; THETAS.len()],
            slopes: [1.0; THETAS.len()],
            certainty,
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.certainty);
    }

    /// An answer took up this share of its cap.
    pub(super) fn learn(&mut self, share: f64) {
        let share = share.clamp(0.0, 1.0);
        self.seen = (self.seen + 1).min(MEMORY);
        let weight = 1.0 / self.seen as f64;
        let unseen = (self.certainty * weight).min(1.0);
        for (theta, (mean, slope)) in THETAS
            .iter()
            .zip(self.means.iter_mut().zip(&mut self.slopes))
        {
            *mean += ((theta * share).exp() - *mean) * weight;
            let at_cap = theta.exp();
            *slope = (*mean + (at_cap - *mean) * unseen).ln() / theta;
        }
    }

    /// What `count` answers do not exceed together, in caps.
    pub(super) fn bound(&self, count: u64) -> f64 {
        let count = count as f64;
        THETAS
            .iter()
            .zip(&self.slopes)
            .map(|(theta, slope)| count * slope + self.certainty / theta)
            .fold(count, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTAINTY: f64 = 13.8;

    fn after(shares: impl IntoIterator<Item = f64>) -> Lengths {
        let mut lengths = Lengths::new(CERTAINTY);
        for share in shares {
            lengths.learn(share);
        }
        lengths
    }

    #[test]
    fn nothing_seen_is_taken_at_its_cap() {
        assert_eq!(Lengths::new(CERTAINTY).bound(100), 100.0);
        // So few show nothing of what one in a hundred does.
        assert_eq!(after([0.01; 13]).bound(100), 100.0);
        let mut forgetful = after([0.01; 4096]);
        forgetful.forget();
        assert_eq!(forgetful.bound(100), 100.0);
    }

    #[test]
    fn short_answers_need_less_the_more_have_been_seen() {
        let bounds: Vec<_> = [100, 400, 1_600, 6_400]
            .map(|seen| after(std::iter::repeat_n(0.05, seen)).bound(100))
            .into();
        println!("of 100 answers at 5 %: {bounds:.1?} caps");
        assert!(bounds.is_sorted_by(|a, b| a > b));
        // Five are what they need, and the bound cannot go below.
        assert!(bounds[3] > 5.0 && bounds[3] < 15.0);
    }

    #[test]
    fn many_need_less_each_than_few() {
        let lengths = after(std::iter::repeat_n([0.0, 0.1], 2_000).flatten());
        let each: Vec<_> = [1, 10, 100, 1_000, 10_000]
            .map(|count| lengths.bound(count) / count as f64)
            .into();
        println!("caps for each of 1 … 10,000: {each:.3?}");
        assert_eq!(each[0], 1.0);
        assert!(each.is_sorted_by(|a, b| a >= b));
        assert!(each[4] > 0.05);
    }

    #[test]
    fn answers_at_their_cap_stay_there() {
        assert!((after([1.0; 5_000]).bound(100) - 100.0).abs() < 1e-9);
        assert!((after([7.0, f64::INFINITY, 1.0]).bound(3) - 3.0).abs() < 1e-9);
    }
}
