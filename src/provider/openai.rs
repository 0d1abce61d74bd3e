use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::openai_compatible::{self, GATEWAY, PROJECT_TOKENS, REQUESTS, TOKENS};
use super::{Counting, Feedback, ImageTokens, LimitHeaders, Provider, RequestFacts};
use crate::schedule::Cost;
use crate::tier::Charge;

/// OpenAI.
///
/// - A request counts the larger of its output cap and an estimate from its characters (rate-limits
///   guide, read 2026-11-23), not their sum: that is what its tokens reserve under
///   [`Charge::Reserved`].
/// - Its limits refill all the time, and its resets tell when they are full (recorded answers, read
///   2026-11-23).
/// - That unused tokens come back is not documented, so that is the default.
/// - Cached prompt tokens count in full (prompt-caching guide, read 2026-11-23).
/// - A stream reports usage only if the request has `"stream_options":{"include_usage":true}`; the
///   Responses API always does (API reference, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAi;

/// Patches of 32 pixels, each 1.2 tokens. GPT-6 counts those of an image as it is, up to 12,000 patches as
/// far as was measured; others, and every model at `detail: high`, make larger ones smaller, to some
/// 2,450 patches (image-token-cost, a data set of measurements, read 2026-11-24).
const BY_PATCHES: ImageTokens = ImageTokens::by_patches(32, 14_400)
    .weighed(120)
    .unseen(3_000);

/// 85 tokens and 170 for each tile, of which the largest image that is not made smaller has eight (client
/// code, read 2026-11-23).
const BY_TILES: ImageTokens = ImageTokens::each(85 + 8 * 170);

/// The models that count tiles; their small variants do not.
static TILED: [&str; 5] = ["gpt-4o", "gpt-4.1", "gpt-4.5", "o1", "o3"];

pub(super) fn image_tokens(model: Option<&str>) -> ImageTokens {
    let model = model.unwrap_or_default();
    let is_small = ["mini", "nano"].iter().any(|name| model.contains(name));
    match TILED.iter().any(|name| model.starts_with(name)) && !is_small {
        true => BY_TILES,
        false => BY_PATCHES,
    }
}

/// In recorded answers (read 2026-11-23) a reset is the share of the limit that was used, of a day or of a
/// minute: the time until all of it has come back.
static LIMITS: [LimitHeaders; 4] = [
    REQUESTS.refilling(),
    TOKENS.refilling(),
    PROJECT_TOKENS.refilling(),
    GATEWAY,
];

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn price(&self, request: &RequestFacts, charge: Charge) -> Cost {
        let model = request.model.as_deref();
        self.counting(model, charge)
            .reserved(request.cost(charge, self.image_tokens(model)))
    }

    fn image_tokens(&self, model: Option<&str>) -> ImageTokens {
        image_tokens(model)
    }

    fn counting(&self, _model: Option<&str>, charge: Charge) -> Counting {
        match charge {
            Charge::Actual => Counting::ALL,
            Charge::Reserved => Counting::ALL.of_the_larger_part(),
        }
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        openai_compatible::feedback_of(&LIMITS, status, headers, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::TokenEstimate;

    #[test]
    fn reserves_the_larger_of_cap_and_characters() {
        let cases = [
            (0, 10, (0, 10, 10)),
            (4_000, 16, (1_000, 16, 1_000)),
            (4_000, 1_500, (1_000, 1_500, 1_500)),
            (401, 100, (101, 100, 101)),
            (u64::MAX, u64::MAX, (1 << 62, u64::MAX, u64::MAX)),
        ];
        for (text_bytes, cap, (input, output, tokens)) in cases {
            let facts = RequestFacts {
                text_bytes,
                max_output_tokens: Some(cap),
                ..RequestFacts::default()
            };
            let expected = Cost::request()
                .with_input_tokens(input)
                .with_output_tokens(output)
                .with_tokens(tokens);
            assert_eq!(OpenAi.price(&facts, Charge::Reserved), expected);
            // What is used is both.
            let cost = OpenAi.price(&facts, Charge::Actual);
            assert_eq!(cost.tokens, cost.input_tokens.saturating_add(cap));
        }
    }

    #[test]
    fn an_estimate_is_priced_by_the_same_rule() {
        let facts = RequestFacts {
            estimate: Some(TokenEstimate::new(1_200, 400)),
            ..RequestFacts::default()
        };
        assert_eq!(OpenAi.price(&facts, Charge::Reserved).tokens, 1_200);
        assert_eq!(OpenAi.price(&facts, Charge::Actual).tokens, 1_600);
    }
}
