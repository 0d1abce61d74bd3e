use super::Provider;
use crate::usage::{UsageField, UsagePath};

/// Ollama, with its own API and those of OpenAI and Anthropic.
///
/// It has no quota. It queues what it cannot serve at once, and answers 503 when the queue is full
/// (ollama of 2026-08-21), so a tier has a limit on concurrent requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ollama;

/// Of `/api/chat`, `/api/generate` and `/api/embed`: the last line of a stream has them. A prompt that
/// was cached may be missing (read 2026-11-23).
pub(super) static USAGE: [UsagePath; 2] = [
    UsagePath::closing(&["eval_count"], UsageField::Output),
    UsagePath::last(&["prompt_eval_count"], UsageField::Input),
];

impl Provider for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }
}
