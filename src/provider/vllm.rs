use super::Provider;

/// vLLM's server, which speaks OpenAI's language.
///
/// It has no quota and queues what it cannot serve at once. With `continuous_usage_stats` every chunk
/// of a stream has running totals, of which the last count (read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vllm;

impl Provider for Vllm {
    fn name(&self) -> &'static str {
        "vllm"
    }
}
