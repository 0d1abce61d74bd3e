use crate::schedule::Cost;
use crate::usage::Usage;

/// What a provider's limits count of the tokens that a request used.
///
/// ```
/// use proactive_rate_limit::Cost;
/// use proactive_rate_limit::provider::Counting;
/// use proactive_rate_limit::usage::{Usage, UsageField};
///
/// let reserved = Cost::request()
///     .with_input_tokens(3_000)
///     .with_output_tokens(400)
///     .with_tokens(3_400);
/// let usage = Usage::default()
///     .with(UsageField::Input, 2_050)
///     .with(UsageField::CachedInput, 2_000)
///     .with(UsageField::Output, 12);
///
/// assert_eq!(Counting::ALL.charged(&usage, &reserved).tokens, 2_062);
/// let free_cache = Counting::ALL.without_cached_input();
/// assert_eq!(free_cache.charged(&usage, &reserved).tokens, 62);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counting {
    cached_input: bool,
    output_weight: u64,
    larger_part: bool,
}

impl Counting {
    /// Every token counts once.
    pub const ALL: Self = Self {
        cached_input: true,
        output_weight: 1,
        larger_part: false,
    };

    /// The same, except that tokens which were read from a cache do not count.
    #[must_use]
    pub const fn without_cached_input(mut self) -> Self {
        self.cached_input = false;
        self
    }

    /// The same, except that a generated token counts this often. Costs are then in such units.
    #[must_use]
    pub const fn with_output_weight(mut self, weight: u64) -> Self {
        self.output_weight = weight;
        self
    }

    /// The same, except that a limit on tokens counts input or output, whichever is more, in place of
    /// their sum.
    #[must_use]
    pub const fn of_the_larger_part(mut self) -> Self {
        self.larger_part = true;
        self
    }

    /// The cost of a request by plain tokens, in the units that the limits count.
    ///
    /// What may come from a cache stays: that is known only afterwards.
    pub fn reserved(&self, plain: Cost) -> Cost {
        let output = self.weighed(plain.output_tokens);
        let tokens = match self.larger_part {
            true => plain.input_tokens.max(output),
            false => plain
                .tokens
                .saturating_add(output.saturating_sub(plain.output_tokens)),
        };
        Cost {
            output_tokens: output,
            tokens,
            ..plain
        }
    }

    /// What the limits count for `usage`, of a request for which this was reserved.
    ///
    /// A component that `usage` does not tell stays as `reserved`. Tokens are never more than input
    /// and output together.
    pub fn charged(&self, usage: &Usage, reserved: &Cost) -> Cost {
        let input = usage.input().map_or(reserved.input_tokens, |whole| {
            self.without_free(usage, whole)
        });
        let beyond_input = |total: u64| self.weighed(total.saturating_sub(input));
        let output = match (usage.output(), usage.total()) {
            (Some(generated), _) => self.weighed(generated),
            (None, Some(total)) => reserved.output_tokens.max(beyond_input(total)),
            (None, None) => reserved.output_tokens,
        };
        let sum = input.saturating_add(output);
        let tokens = match (usage.input(), usage.total()) {
            _ if self.larger_part => input.max(output),
            // The input is what was reserved for it, so the total alone is exact.
            (None, Some(total)) if self.output_weight == 1 => total,
            _ => sum,
        };
        Cost {
            input_tokens: input,
            output_tokens: output,
            tokens,
            ..*reserved
        }
    }

    fn without_free(&self, usage: &Usage, whole: u64) -> u64 {
        match self.cached_input {
            true => whole,
            false => whole.saturating_sub(usage.cached_input_tokens.unwrap_or(0)),
        }
    }

    fn weighed(&self, generated: u64) -> u64 {
        generated.saturating_mul(self.output_weight)
    }
}

impl Default for Counting {
    /// [`ALL`](Self::ALL).
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::UsageField::{self, CacheCreation, CachedInput, UncachedInput};
    use crate::usage::UsageField::{Input, Output, Thoughts, ToolUse, Total};

    const RESERVED: Cost = Cost::request()
        .with_input_tokens(100)
        .with_output_tokens(400)
        .with_tokens(500);

    type Counts = &'static [(UsageField, u64)];

    fn charged(counting: Counting, counts: &[(UsageField, u64)]) -> (u64, u64, u64) {
        let usage = counts
            .iter()
            .fold(Usage::default(), |usage, (field, tokens)| {
                usage.with(*field, *tokens)
            });
        let cost = counting.charged(&usage, &RESERVED);
        assert_eq!(cost.requests, 1);
        assert!(cost.tokens <= cost.input_tokens + cost.output_tokens);
        (cost.input_tokens, cost.output_tokens, cost.tokens)
    }

    #[test]
    fn the_larger_part_counts_alone() {
        let larger = Counting::ALL.of_the_larger_part();
        assert_eq!(larger.reserved(RESERVED).tokens, 400);
        assert_eq!(
            charged(larger, &[(Input, 120), (Output, 45), (Total, 165)]),
            (120, 45, 120)
        );
        assert_eq!(charged(larger, &[(Output, 450)]), (100, 450, 450));
        assert_eq!(charged(larger, &[]), (100, 400, 400));
    }

    #[test]
    fn everything_counts_once() {
        let cases: [(Counts, (u64, u64, u64)); 13] = [
            (&[(Input, 120), (Output, 45), (Total, 165)], (120, 45, 165)),
            (&[(Input, 120), (Output, 45)], (120, 45, 165)),
            (
                &[(Input, 120), (CachedInput, 64), (Output, 45)],
                (120, 45, 165),
            ),
            // Embeddings.
            (&[(Input, 8), (Total, 8)], (8, 0, 8)),
            // Reasoning in the total only.
            (&[(Input, 32), (Output, 9), (Total, 135)], (32, 103, 135)),
            // A total that does not add up.
            (&[(Input, 120), (Output, 45), (Total, 100)], (120, 45, 165)),
            // Thoughts and tool use beside the rest.
            (
                &[
                    (Input, 200),
                    (Output, 12),
                    (Thoughts, 80),
                    (ToolUse, 7),
                    (Total, 299),
                ],
                (207, 92, 299),
            ),
            (&[(Output, 45)], (100, 45, 145)),
            (&[(Output, 45), (Total, 165)], (120, 45, 165)),
            (&[(Input, 7)], (7, 400, 407)),
            (&[(Total, 77)], (100, 400, 77)),
            (&[(Total, 900)], (100, 800, 900)),
            (&[], (100, 400, 500)),
        ];
        for (counts, expected) in cases {
            assert_eq!(charged(Counting::ALL, counts), expected, "{counts:?}");
        }
    }

    #[test]
    fn reading_a_cache_may_be_free() {
        let free = Counting::ALL.without_cached_input();
        let beside = [
            (UncachedInput, 50),
            (CachedInput, 2_000),
            (CacheCreation, 30),
            (Output, 12),
        ];
        assert_eq!(charged(free, &beside), (80, 12, 92));
        assert_eq!(charged(Counting::ALL, &beside), (2_080, 12, 2_092));
        let within = [
            (Input, 2_050),
            (CachedInput, 2_000),
            (Output, 12),
            (Total, 2_062),
        ];
        assert_eq!(charged(free, &within), (50, 12, 62));
    }

    #[test]
    fn output_may_weigh_more() {
        let weighed = Counting::ALL.with_output_weight(5);
        assert_eq!(
            charged(weighed, &[(Input, 50), (Output, 12)]),
            (50, 60, 110)
        );
        assert_eq!(charged(weighed, &[(Input, 50), (Total, 62)]), (50, 60, 110));
        assert_eq!(charged(weighed, &[(Total, 300)]), (100, 1_000, 1_100));
        let reserved = weighed.reserved(RESERVED);
        assert_eq!((reserved.output_tokens, reserved.tokens), (2_000, 2_100));
        assert_eq!(Counting::ALL.reserved(RESERVED), RESERVED);
    }
}
