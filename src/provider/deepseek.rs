use super::Provider;

/// DeepSeek's OpenAI-compatible API.
///
/// It limits requests in flight and nothing else, and documents no headers (rate-limit page, read
/// 2026-09-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeepSeek;

impl Provider for DeepSeek {
    fn name(&self) -> &'static str {
        "deepseek"
    }
}
