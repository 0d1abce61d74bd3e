use super::Provider;

/// xAI's OpenAI-compatible API.
///
/// It documents no headers on limits (read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xai;

impl Provider for Xai {
    fn name(&self) -> &'static str {
        "xai"
    }
}
