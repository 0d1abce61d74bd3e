use super::{Provider, RequestFacts};
use crate::schedule::Cost;
use crate::tier::Charge;

/// OpenAI.
///
/// - A request counts the larger of its output cap and an estimate from its characters (rate-limits
///   guide, read 2026-11-23). The sum of both is reserved, which is never less.
/// - That unused tokens come back is not documented, so the default is [`Charge::Reserved`].
/// - Cached prompt tokens count in full (prompt-caching guide, read 2026-11-23).
/// - A stream reports usage only if the request has `"stream_options":{"include_usage":true}`; the
///   Responses API always does (API reference, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAi;

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn price(&self, request: &RequestFacts, charge: Charge) -> Cost {
        request.cost(charge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Endpoint, RequestFacts};
    use crate::usage::Usage;

    fn usage(input: Option<u64>, output: Option<u64>, total: Option<u64>) -> Usage {
        Usage {
            input_tokens: input,
            output_tokens: output,
            total_tokens: total,
            ..Usage::default()
        }
    }

    #[test]
    fn charges_what_the_limits_count() {
        let reserved = Cost::request()
            .with_input_tokens(100)
            .with_output_tokens(400)
            .with_tokens(500);
        let cases = [
            (usage(Some(120), Some(45), Some(165)), (120, 45, 165)),
            (usage(Some(120), Some(45), None), (120, 45, 165)),
            // Embeddings.
            (usage(Some(8), None, Some(8)), (8, 0, 8)),
            // Reasoning in the total only.
            (usage(Some(32), Some(9), Some(135)), (32, 103, 135)),
            // A total that does not add up.
            (usage(Some(120), Some(45), Some(100)), (120, 45, 165)),
            (usage(None, Some(45), None), (100, 45, 500)),
            (usage(Some(7), None, None), (7, 400, 500)),
            (usage(None, None, Some(77)), (100, 400, 77)),
            (usage(None, None, None), (100, 400, 500)),
        ];
        for (usage, (input, output, tokens)) in cases {
            let expected = Cost::request()
                .with_input_tokens(input)
                .with_output_tokens(output)
                .with_tokens(tokens);
            assert_eq!(OpenAi.charged(&usage, &reserved), expected, "{usage:?}");
        }
        let cached = Usage {
            cached_input_tokens: Some(64),
            ..usage(Some(120), Some(45), Some(165))
        };
        assert_eq!(OpenAi.charged(&cached, &reserved).tokens, 165);
    }

    #[test]
    fn reserves_no_less_than_the_documented_rule() {
        for (text_bytes, cap) in [(0, 10), (4_000, 16), (399, 400), (u64::MAX, u64::MAX)] {
            let facts = RequestFacts {
                text_bytes,
                max_output_tokens: Some(cap),
                ..RequestFacts::default()
            };
            let cost = OpenAi.price(&facts, Charge::Reserved);
            assert!(cost.tokens >= cap.max(text_bytes.div_ceil(4)));
        }
    }

    #[test]
    fn embeddings_have_no_output() {
        let facts = RequestFacts {
            text_bytes: 400,
            endpoint: Endpoint::Embeddings,
            assumed_output_tokens: 1_000,
            ..RequestFacts::default()
        };
        let cost = OpenAi.price(&facts, Charge::Reserved);
        assert_eq!(cost.output_tokens, 0);
        assert_eq!(cost.tokens, cost.input_tokens);
    }
}
