use crate::schedule::Cost;

/// The cost a request of this pool usually has: what is reserved before the request is known.
///
/// A mean in which each new request weighs an eighth, so it follows a change within some ten
/// requests.
#[derive(Debug)]
pub(super) struct Typical(Cost);

impl Typical {
    const WEIGHT: u64 = 8;

    pub(super) fn new() -> Self {
        Self(Cost::request())
    }

    pub(super) fn cost(&self) -> Cost {
        self.0
    }

    pub(super) fn learn(&mut self, cost: &Cost) {
        self.0 = self.0.zip(*cost, |mean, value| {
            if value > mean {
                mean + (value - mean).div_ceil(Self::WEIGHT)
            } else {
                mean - (mean - value).div_ceil(Self::WEIGHT)
            }
        });
    }
}
