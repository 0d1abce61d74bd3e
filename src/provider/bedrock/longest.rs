/// The most that models generate, by what is in their ids; the first that is found counts.
///
/// `max_output_tokens` of Bedrock's models in LiteLLM 1.110.2's price list, read 2026-11-24: a row for
/// each family, with the larger where its models or their regions differ. That list has 8,192 for
/// Claude 3.7 on Bedrock and 64,000 elsewhere, as AWS has it for such models.
static LONGEST: [(&str, u64); 43] = [
    ("claude-instant", 8_191),
    ("claude-v", 8_191),
    ("claude-3-7", 64_000),
    ("claude-3-5", 8_192),
    ("claude-3-", 4_096),
    ("claude-opus-4-2025", 32_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-5", 64_000),
    ("claude-sonnet-4-2025", 64_000),
    ("claude-sonnet-4-5", 64_000),
    ("claude-haiku-4-5", 64_000),
    ("claude-", 128_000),
    ("amazon.nova-2", 64_000),
    ("amazon.nova", 10_000),
    ("amazon.titan-text-premier", 32_000),
    ("amazon.titan-text", 8_000),
    ("ai21.j2", 8_191),
    ("ai21.jamba", 4_096),
    ("cohere.command", 4_096),
    ("deepseek.r1", 8_192),
    ("deepseek.v3", 163_840),
    ("google.gemma-3", 8_000),
    ("google.gemma-4", 256_000),
    ("meta.llama", 8_192),
    ("minimax.minimax", 8_192),
    ("mistral.devstral", 32_000),
    ("mistral.magistral", 40_000),
    ("mistral.mistral-large-3", 32_000),
    ("mistral.pixtral", 16_384),
    ("mistral.", 8_192),
    ("moonshotai.kimi-k3", 131_072),
    ("moonshot", 16_000),
    ("nvidia.nemotron-super", 32_768),
    ("nvidia.nemotron", 8_192),
    ("openai.gpt-oss", 16_384),
    ("openai.gpt", 131_072),
    ("qwen.qwen3-coder", 16_384),
    ("qwen.qwen3", 8_192),
    ("twelvelabs.pegasus", 98_304),
    ("writer.palmyra", 8_192),
    ("xai.grok-4.3", 16_384),
    ("xai.grok", 524_288),
    ("zai.glm", 128_000),
];

/// Of a model whose id tells nothing: the largest that AWS speaks of, "64K-128K" (agent-toolkit-for-aws,
/// quota health, read 2026-11-24).
const UNKNOWN: u64 = 128_000;

/// The most that `model` generates for a request without a cap.
pub(super) fn output(model: Option<&str>) -> u64 {
    let known = model.and_then(|model| LONGEST.iter().find(|(part, _)| model.contains(part)));
    known.map_or(UNKNOWN, |(_, tokens)| *tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_tells_the_family() {
        let cases = [
            ("anthropic.claude-v2:1", 8_191),
            ("anthropic.claude-3-haiku-20240307-v1:0", 4_096),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", 8_192),
            ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 64_000),
            ("anthropic.claude-opus-4-20250514-v1:0", 32_000),
            ("anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
            ("anthropic.claude-opus-4-5-20251101-v1:0", 64_000),
            ("anthropic.claude-opus-4-6-v1", 128_000),
            ("anthropic.claude-sonnet-4-20250514-v1:0", 64_000),
            ("claude-sonnet-4-6", 128_000),
            ("global.anthropic.claude-opus-5-5", 128_000),
            ("eu.amazon.nova-lite-v1:0", 10_000),
            ("amazon.nova-2-lite-v1:0", 64_000),
            ("amazon.titan-text-express-v1", 8_000),
            ("meta.llama3-1-8b-instruct-v1:0", 8_192),
            ("mistral.mistral-large-2407-v1:0", 8_192),
            ("mistral.mistral-large-3-675b-instruct", 32_000),
            ("openai.gpt-oss-120b-1:0", 16_384),
            ("openai.gpt-6.1-sol", 131_072),
            (
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
                UNKNOWN,
            ),
        ];
        for (model, expected) in cases {
            assert_eq!(output(Some(model)), expected, "{model}");
        }
        assert_eq!(output(None), UNKNOWN);
    }

    /// A row behind one whose part it contains would never be found.
    #[test]
    fn every_row_can_be_found() {
        for (part, tokens) in LONGEST {
            assert_eq!(output(Some(part)), tokens, "{part}");
        }
    }
}
