/// How long the answers of one class get, as shares of their cap, learned from those that ended.
///
/// It bounds how long several further answers get together. For independent answers of one
/// distribution, Chernoff's bound holds: with probability 1 - ε, `n` of them are together no longer
/// than `(n · ln E[exp(θ·x)] + ln 1/ε) / θ` caps, for any θ > 0. The expectations are not known, only
/// the means of those seen. As all values are bounded, Chernoff's bound says of those, too, how far they
/// may be off: scaled to 0 … 1, the expectation is at most `m + √(2·m·a) + 2·a` for a mean `m` of `k`
/// values and `a = ln(1/ε) / k`, except with probability ε. Half of the risk is for the answers to come,
/// and half for what is known of them, for all θ together. Without any answer yet, all take their cap.
#[derive(Debug)]
pub(super) struct Lengths {
    seen: u64,
    /// The most that `exp(θ·x) - 1` may be.
    spans: [f64; THETAS.len()],
    /// Running means of `exp(θ·x)` for each θ, scaled to 0 … 1.
    means: [f64; THETAS.len()],
    /// For each θ, the bound's length per answer, in caps.
    slopes: [f64; THETAS.len()],
    /// The same, were the means exact.
    likely: [f64; THETAS.len()],
    /// ln 1/ε, of half the risk.
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
    /// Nothing is known yet. `certainty` is ln 1/ε.
    pub(super) fn new(certainty: f64) -> Self {
        Self {
            seen: 0,
            spans: THETAS.map(f64::exp_m1),
            means: [0.0; THETAS.len()],
            slopes: [1.0; THETAS.len()],
            likely: [1.0; THETAS.len()],
            certainty: certainty + std::f64::consts::LN_2,
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.seen = 0;
        self.slopes = [1.0; THETAS.len()];
        self.likely = [1.0; THETAS.len()];
    }

    /// An answer took up this share of its cap.
    pub(super) fn learn(&mut self, share: f64) {
        let share = share.clamp(0.0, 1.0);
        self.seen = (self.seen + 1).min(MEMORY);
        let weight = 1.0 / self.seen as f64;
        let doubt = (self.certainty + (THETAS.len() as f64).ln()) * weight;
        for (index, theta) in THETAS.into_iter().enumerate() {
            let most = self.spans[index];
            let mean = &mut self.means[index];
            *mean += ((theta * share).exp_m1() / most - *mean) * weight;
            let expected = *mean + (2.0 * *mean * doubt).sqrt() + 2.0 * doubt;
            self.slopes[index] = (most * expected.min(1.0)).ln_1p() / theta;
            self.likely[index] = (most * *mean).ln_1p() / theta;
        }
    }

    /// What `count` answers do not exceed together, in caps.
    pub(super) fn bound(&self, count: u64) -> f64 {
        self.least(&self.slopes, count)
    }

    /// What `count` answers would not exceed together, were all as those seen. More is a sign that they
    /// are not.
    pub(super) fn likely_bound(&self, count: u64) -> f64 {
        self.least(&self.likely, count)
    }

    fn least(&self, slopes: &[f64; THETAS.len()], count: u64) -> f64 {
        let count = count as f64;
        THETAS
            .iter()
            .zip(slopes)
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
        assert!(after([0.01; 20]).bound(100) > 99.0);
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
        assert!(bounds[3] > 5.0 && bounds[3] < 25.0);
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

    /// Of answers that are all or nothing, where the means seen are off most.
    #[test]
    fn the_risk_is_kept() {
        const TRIALS: u32 = 4_000;
        let mut rng = fastrand::Rng::with_seed(1);
        for chance in [0.02, 0.3, 0.5] {
            for seen in [100, 300, 1_000] {
                let mut draw = || f64::from(u8::from(rng.f64() < chance));
                let exceeded = (0..TRIALS).filter(|_| {
                    let mut lengths = Lengths::new(-(0.01_f64).ln());
                    (0..seen).for_each(|_| lengths.learn(draw()));
                    let sum: f64 = (0..300).map(|_| draw()).sum();
                    sum > lengths.bound(300)
                });
                let exceeded = exceeded.count();
                println!("{chance} at the cap, {seen} seen: {exceeded} of {TRIALS} exceeded");
                assert!(exceeded <= 40, "{exceeded} of {TRIALS} at a risk of 0.01");
            }
        }
    }

    #[test]
    fn answers_at_their_cap_stay_there() {
        assert!((after([1.0; 5_000]).bound(100) - 100.0).abs() < 1e-9);
        assert!((after([7.0, f64::INFINITY, 1.0]).bound(3) - 3.0).abs() < 1e-9);
    }
}
