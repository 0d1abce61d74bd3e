use http::{HeaderMap, StatusCode};

use super::error_body::ErrorBody;
use super::{ImageTokens, Provider, Refusal, anthropic, gemini};

/// Google's Vertex AI: Gemini, and Claude through `rawPredict` and `streamRawPredict`.
///
/// It has no headers on limits. A 429 that names no quota may tell of a pool which all customers share
/// as well as of a limit of the caller's (standard pay-as-you-go page, read 2026-11-23), and nothing in
/// it says which. It is taken for the latter: either pauses everybody, but only a limit that was reached
/// is counted with more care afterwards, and too much care costs some use where too little is another
/// 429.
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
        gemini::refusal(status, headers, &ErrorBody::read(body))
    }
}
