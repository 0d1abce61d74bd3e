use http::{HeaderMap, StatusCode};

use super::error_body::ErrorBody;
use super::{ImageTokens, Provider, Refusal, RefusalCause, anthropic, gemini};

/// Google's Vertex AI: Gemini, and Claude through `rawPredict` and `streamRawPredict`.
///
/// It has no headers on limits. A 429 that names no quota tells of a pool which all customers share
/// (standard pay-as-you-go page, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vertex;

impl Provider for Vertex {
    fn name(&self) -> &'static str {
        "vertex"
    }

    fn image_tokens(&self, model: Option<&str>) -> ImageTokens {
        match model {
            Some(model) if model.contains("claude") => anthropic::IMAGE_TOKENS,
            _ => gemini::IMAGE_TOKENS,
        }
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let error = ErrorBody::read(body);
        let refusal = gemini::refusal(status, headers, &error)?;
        let names_quota = refusal.meter.is_some() || error.message.contains("quota");
        Some(match refusal.cause {
            RefusalCause::RateLimit if !names_quota => Refusal {
                cause: RefusalCause::Capacity,
                ..refusal
            },
            _ => refusal,
        })
    }
}
