use super::Provider;
use crate::usage::{UsageField, UsagePath};

/// The server of llama.cpp, with its own `/completion` and OpenAI's API.
///
/// It has no quota and queues what it cannot serve at once (read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LlamaCpp;

/// Of `/completion`. A stream has running totals; of its last event, which has timings, they are
/// final (read 2026-11-23).
pub(super) static USAGE: [UsagePath; 2] = [
    UsagePath::last(&["tokens_evaluated"], UsageField::Input),
    UsagePath::last(&["tokens_predicted"], UsageField::Output),
];

impl Provider for LlamaCpp {
    fn name(&self) -> &'static str {
        "llama-cpp"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }
}
