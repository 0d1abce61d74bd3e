use http::{HeaderMap, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Provider, Refusal, RefusalCause, openai_compatible};

/// xAI's OpenAI-compatible API.
///
/// Its completion leaves out reasoning, which only the total has; its limits count prompt, completion,
/// reasoning and cached tokens. It documents no headers on limits (read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xai;

/// Texts seen 2026-02 to 2026-07, beside either status.
static SIGNS: [(Sign, RefusalCause); 4] = [
    (
        Sign::Says(403, "used all available credits"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Says(429, "used all available credits"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Says(403, "run out of credits"),
        RefusalCause::Exhausted,
    ),
    (Sign::Says(403, "have any credits"), RefusalCause::Exhausted),
];

impl Provider for Xai {
    fn name(&self) -> &'static str {
        "xai"
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
