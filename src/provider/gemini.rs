use super::Provider;

/// Google's Gemini API, through its OpenAI-compatible endpoint.
///
/// It has no headers on limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gemini;

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }
}
