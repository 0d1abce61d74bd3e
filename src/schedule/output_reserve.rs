/// What is reserved for answers whose length is not known yet, of a limit that counts the tokens
/// they really take ([`Charge::Actual`](crate::Charge::Actual)).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum OutputReserve {
    /// Its cap for each. Whatever the answers, a limit is never exceeded.
    Caps,
    /// As much as all of them may take together, learned from those that have ended.
    ///
    /// Answers to requests whose caps are of the same order of magnitude are taken for independent
    /// and alike. If they are, the probability that a request is admitted whose answer, with the
    /// others then in flight, takes more than is reserved is at most `risk` for each such order of
    /// magnitude. Until some hundred have ended, and all that were sent before them, and for a handful in
    /// flight, this is no less than their caps. Answers that all at once
    /// get longer break the rule until the first of them have ended, and so do spells of short and of long
    /// ones by turns, each time anew: where that is to be expected and must not cost a refusal, reserve
    /// the [`Caps`](Self::Caps).
    Pooled {
        /// Between 0 and 1; 1e-6 by default. Anything else reserves the caps.
        risk: f64,
    },
}

impl OutputReserve {
    /// ln 1/risk, where there is one.
    pub(super) fn certainty(self) -> Option<f64> {
        match self {
            Self::Pooled { risk } if risk > 0.0 && risk < 1.0 => Some(-risk.ln()),
            Self::Pooled { .. } | Self::Caps => None,
        }
    }
}

/// Two that reserve the same are equal, so that a nonsensical risk equals itself.
impl PartialEq for OutputReserve {
    fn eq(&self, other: &Self) -> bool {
        self.certainty() == other.certainty()
    }
}

impl Default for OutputReserve {
    fn default() -> Self {
        Self::Pooled { risk: 1e-6 }
    }
}
