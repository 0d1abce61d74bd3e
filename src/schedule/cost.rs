use crate::tier::Meter;

/// What one request takes from each [`Meter`] of a pool.
///
/// Providers meter differently: some count input and output tokens apart, some count a combined
/// number that need not be their sum. So a cost is a vector, and a limit reads its own component.
///
/// ```
/// use proactive_rate_limit::{Cost, Meter};
///
/// let cost = Cost::request().with_input_tokens(120).with_output_tokens(400).with_tokens(520);
/// assert_eq!(cost.of(Meter::Requests), 1);
/// assert_eq!(cost.of(Meter::Tokens), 520);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Cost {
    /// Requests, counted by [`Meter::Requests`] and [`Meter::Concurrent`].
    pub requests: u64,
    /// Tokens as a combined limit counts them, for [`Meter::Tokens`].
    pub tokens: u64,
    /// Tokens of the prompt that count against an input limit, for [`Meter::InputTokens`].
    pub input_tokens: u64,
    /// Generated tokens, for [`Meter::OutputTokens`].
    pub output_tokens: u64,
}

impl Cost {
    /// No cost at all.
    pub const ZERO: Self = Self {
        requests: 0,
        tokens: 0,
        input_tokens: 0,
        output_tokens: 0,
    };

    /// One request without tokens.
    pub const fn request() -> Self {
        Self {
            requests: 1,
            ..Self::ZERO
        }
    }

    /// This cost with another combined token count.
    pub const fn with_tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }

    /// This cost with another input token count.
    pub const fn with_input_tokens(mut self, tokens: u64) -> Self {
        self.input_tokens = tokens;
        self
    }

    /// This cost with another output token count.
    pub const fn with_output_tokens(mut self, tokens: u64) -> Self {
        self.output_tokens = tokens;
        self
    }

    /// The component that a limit on `meter` counts.
    pub const fn of(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Requests | Meter::Concurrent => self.requests,
            Meter::Tokens => self.tokens,
            Meter::InputTokens => self.input_tokens,
            Meter::OutputTokens => self.output_tokens,
        }
    }

    /// Whether no component exceeds the same component of `other`.
    pub const fn fits_in(&self, other: &Self) -> bool {
        self.requests <= other.requests
            && self.tokens <= other.tokens
            && self.input_tokens <= other.input_tokens
            && self.output_tokens <= other.output_tokens
    }

    /// This cost with no more of what `meter` counts than `most`.
    pub(crate) fn at_most(mut self, meter: Meter, most: u64) -> Self {
        let component = match meter {
            Meter::Requests | Meter::Concurrent => &mut self.requests,
            Meter::Tokens => &mut self.tokens,
            Meter::InputTokens => &mut self.input_tokens,
            Meter::OutputTokens => &mut self.output_tokens,
        };
        *component = (*component).min(most);
        self
    }

    /// Combines two costs component by component.
    pub(crate) fn zip(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: combine(self.requests, other.requests),
            tokens: combine(self.tokens, other.tokens),
            input_tokens: combine(self.input_tokens, other.input_tokens),
            output_tokens: combine(self.output_tokens, other.output_tokens),
        }
    }
}
