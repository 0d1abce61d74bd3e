use http::{HeaderMap, StatusCode};

use super::error_body::ErrorBody;
use super::{Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;

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

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let refusal = openai_compatible::refusal(status, &ErrorBody::read(body), &[])?;
        Some(match refusal.cause {
            RefusalCause::RateLimit => Refusal {
                meter: Some(Meter::Concurrent),
                ..refusal
            },
            _ => refusal,
        })
    }
}
