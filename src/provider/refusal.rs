use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::Provider;
use super::error_body::ErrorBody;
use super::figures::Figures;
use crate::tier::Meter;

/// Why a provider refused a request, as far as its answer says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of refusal it is.
    pub cause: RefusalCause,
    /// The provider's own code for it, such as `insufficient_quota`.
    pub code: Option<String>,
    /// How long to wait, where the body says so.
    pub retry_after: Option<Duration>,
    /// What the limit it names counts.
    pub meter: Option<Meter>,
    /// The length of that limit's window.
    pub window: Option<Duration>,
    /// The number of that limit.
    pub limit: Option<u64>,
    /// What of it was used.
    pub used: Option<u64>,
    /// What the request would have used.
    pub requested: Option<u64>,
}

/// What a refusal is about, and so whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCause {
    /// A rate limit. It frees by itself.
    RateLimit,
    /// The provider has no capacity for anybody right now. It will have some again.
    Capacity,
    /// This request exceeds a limit by itself. Smaller ones are not concerned.
    TooLarge,
    /// The prompt, with the answer that it asks for, is longer than the model's context window.
    ContextLength,
    /// Credit or the quota of a month is used up, or a spending cap is reached. Nothing passes
    /// until the account changes.
    Exhausted,
    /// The account may not use this at all: its limit is zero.
    NotAllowed,
}

impl RefusalCause {
    /// Whether the same request can succeed later without anybody doing something about it.
    pub const fn waiting_helps(self) -> bool {
        matches!(self, Self::RateLimit | Self::Capacity)
    }
}

impl Refusal {
    /// A refusal of which nothing is known but its cause.
    pub const fn of(cause: RefusalCause) -> Self {
        Self {
            cause,
            code: None,
            retry_after: None,
            meter: None,
            window: None,
            limit: None,
            used: None,
            requested: None,
        }
    }

    /// Reads what an error says, with `signs` for what its status does not tell. The first that it
    /// shows decides.
    pub(super) fn read<'a>(
        status: StatusCode,
        error: &ErrorBody,
        signs: impl IntoIterator<Item = &'a (Sign, RefusalCause)>,
    ) -> Option<Self> {
        if !status.is_client_error() && !status.is_server_error() {
            return None;
        }
        let sign = signs
            .into_iter()
            .find(|(sign, _)| sign.shows(status, error));
        let cause = sign
            .map(|(_, cause)| *cause)
            .or_else(|| {
                let mut signs = CONTEXT_SIGNS.iter();
                let is_shown = signs.any(|sign| sign.shows(status, error));
                is_shown.then_some(RefusalCause::ContextLength)
            })
            .or_else(|| usual(status))?;
        let figures = Figures::read(&error.message);
        let refusal = Self {
            cause,
            code: error.codes().next().map(str::to_owned),
            retry_after: figures.retry_after,
            meter: figures.meter,
            window: figures.window,
            limit: figures.limit,
            used: figures.used,
            requested: figures.requested,
        };
        Some(refusal.judged_by_numbers())
    }

    /// A limit of zero lets nothing pass, and a request that asks for more than the whole limit
    /// never does, although the provider speaks of a rate limit.
    pub(super) fn judged_by_numbers(mut self) -> Self {
        if self.cause == RefusalCause::RateLimit {
            self.cause = match (self.requested, self.limit) {
                (_, Some(0)) => RefusalCause::NotAllowed,
                (Some(requested), Some(limit)) if requested > limit => RefusalCause::TooLarge,
                _ => RefusalCause::RateLimit,
            };
        }
        self
    }
}

/// What tells the cause of a refusal. Texts are in lower case and are tied to a status: other
/// errors may quote what a user wrote.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// The status.
    Status(u16),
    /// A code, in any case.
    Code(&'static str),
    /// The beginning of the message, beside this status.
    Begins(u16, &'static str),
    /// A part of the message, beside this status.
    Says(u16, &'static str),
}

impl Sign {
    fn shows(self, status: StatusCode, error: &ErrorBody) -> bool {
        match self {
            Self::Status(number) => status == number,
            Self::Code(code) => error.codes().any(|shown| shown.eq_ignore_ascii_case(code)),
            Self::Begins(number, text) => status == number && error.message.starts_with(text),
            Self::Says(number, text) => status == number && error.message.contains(text),
        }
    }
}

/// How providers say that a prompt does not fit into the model's context window. No two agree, and
/// gateways pass on the words of others. Only the code is documented; the texts are as clients quote them,
/// and not verified.
static CONTEXT_SIGNS: [Sign; 9] = [
    // OpenAI, Azure, Groq and who imitates them.
    Sign::Code("context_length_exceeded"),
    // OpenAI, vLLM, Together, OpenRouter: "… maximum context length is 8192 tokens".
    Sign::Says(400, "maximum context length"),
    // Anthropic: "prompt is too long: 205000 tokens > 200000 maximum".
    Sign::Says(400, "prompt is too long"),
    // Anthropic: "input length and `max_tokens` exceed context limit: …".
    Sign::Says(400, "exceed context limit"),
    // Gemini: "The input token count (1048577) exceeds the maximum number of tokens allowed (…)".
    Sign::Says(400, "exceeds the maximum number of tokens"),
    // Bedrock: "Input is too long for requested model."
    Sign::Says(400, "input is too long"),
    // llama.cpp: "the request exceeds the available context size".
    Sign::Says(400, "exceeds the available context size"),
    // xAI, Fireworks: "… prompt length is 300000, maximum prompt length is 131072".
    Sign::Says(400, "maximum prompt length"),
    // Cerebras, DeepSeek: "Please reduce the length of the messages or completion."
    Sign::Says(400, "reduce the length of the messages"),
];

/// What a status is about, unless there is a sign of something else.
fn usual(status: StatusCode) -> Option<RefusalCause> {
    const OVERLOADED: u16 = 529;
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(RefusalCause::RateLimit),
        StatusCode::PAYMENT_REQUIRED => Some(RefusalCause::Exhausted),
        StatusCode::PAYLOAD_TOO_LARGE => Some(RefusalCause::TooLarge),
        StatusCode::SERVICE_UNAVAILABLE => Some(RefusalCause::Capacity),
        _ if status.as_u16() == OVERLOADED => Some(RefusalCause::Capacity),
        _ => None,
    }
}

/// The names that errors have inside of a stream whose status was good, and the statuses that they would
/// have had (Anthropic's, OpenAI's and Google's references, read 2026-11-23).
static STREAMED: [(&str, u16); 9] = [
    ("overloaded_error", 529),
    ("rate_limit_error", 429),
    ("rate_limit_exceeded", 429),
    ("too_many_requests", 429),
    ("quota_exceeded", 429),
    ("insufficient_quota", 429),
    ("server_overloaded", 503),
    ("RESOURCE_EXHAUSTED", 429),
    ("UNAVAILABLE", 503),
];

/// Why a stream of `provider`'s whose head was good broke off, if `document`, its last one, says that it
/// was refused after all.
pub(crate) fn in_stream(provider: &dyn Provider, document: &[u8]) -> Option<Refusal> {
    let error = ErrorBody::read(document);
    let named = error.codes().find_map(|code| {
        let named = STREAMED.iter().find(|(name, _)| *name == code);
        named.and_then(|(_, status)| StatusCode::from_u16(*status).ok())
    });
    let status = named.or(error.status)?;
    provider.refusal(status, &HeaderMap::new(), document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_may_be_refused_after_their_heads() {
        let cases = [
            (
                "anthropic",
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Some(RefusalCause::Capacity),
            ),
            (
                "anthropic",
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}"#,
                Some(RefusalCause::RateLimit),
            ),
            (
                "openrouter",
                r#"{"id":"gen-1","choices":[],"error":{"code":429,"message":"Rate limit exceeded"}}"#,
                Some(RefusalCause::RateLimit),
            ),
            (
                "gemini",
                r#"{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}"#,
                Some(RefusalCause::Capacity),
            ),
            (
                "openai",
                r#"{"error":{"type":"server_error","message":"Sorry"}}"#,
                None,
            ),
            (
                "openai",
                r#"{"choices":[{"delta":{"content":"429"}}]}"#,
                None,
            ),
            ("openai", "", None),
        ];
        for (provider, document, cause) in cases {
            let provider = crate::provider::by_name(provider);
            let refusal = in_stream(provider, document.as_bytes());
            assert_eq!(refusal.map(|refusal| refusal.cause), cause, "{document}");
        }
    }

    fn cause(status: u16, message: &str) -> Option<RefusalCause> {
        let body = serde_json::json!({ "error": { "message": message } }).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        Refusal::read(status, &ErrorBody::read(body.as_bytes()), []).map(|refusal| refusal.cause)
    }

    #[test]
    fn knows_a_prompt_that_is_too_long_in_everybodys_words() {
        let messages = [
            "This model's maximum context length is 8192 tokens. However, you requested 9000.",
            "prompt is too long: 205000 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000",
            "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            "Input is too long for requested model.",
            "the request exceeds the available context size. try increasing the context size",
            "This model's maximum prompt length is 131072 but the request contains 300000 tokens.",
            "Please reduce the length of the messages or completion.",
        ];
        for message in messages {
            assert_eq!(
                cause(400, message),
                Some(RefusalCause::ContextLength),
                "{message}"
            );
            // Another status may quote it.
            assert_eq!(cause(500, message), None, "{message}");
        }
        assert_eq!(cause(400, "max_tokens is too large"), None);
        assert!(!RefusalCause::ContextLength.waiting_helps());
    }
}
