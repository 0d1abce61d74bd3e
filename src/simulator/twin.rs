//! What is particular to a provider: one file for each.

mod anthropic;
mod azure;
mod deepseek;
mod gemini;
mod groq;
mod mistral;
mod openai;
mod together;
mod xai;

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::clock::WallClock;
use super::endpoint::ErrorShape;
use super::enforcement::Enforcement;
use super::gate::Gauge;
use super::ledger::{Decision, Refusal};
use crate::tier::{Limit, Meter};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A provider to simulate: how it enforces its limits, what it charges, and how it says so.
///
/// It has no limits of its own: [`Simulator::twin`](super::Simulator::twin) gives a builder to set
/// them with, in the numbers a test wants. What is known of each, and what its twin makes of it
/// where nothing is (facts read in 2026-11):
///
/// | twin | limits are enforced by | counts as tokens | headers | a refusal |
/// |---|---|---|---|---|
/// | [`OpenAi`](Self::OpenAi) | a bucket | the larger of prompt and `max_tokens`, at arrival | `x-ratelimit-*`, resets as Go durations | 429; refused requests count |
/// | [`Azure`](Self::Azure) | a counter per minute; requests every 10 s, too | prompt and `max_tokens`, at arrival | `x-ratelimit-*`, resets in seconds | 429 with `retry-after-ms`; refused requests count |
/// | [`Anthropic`](Self::Anthropic) | a bucket | input at arrival, output as it is generated | `anthropic-ratelimit-*`, resets in RFC 3339 | 429 with `retry-after` |
/// | [`Gemini`](Self::Gemini) | a sliding log; per day from midnight Pacific | the prompt, at arrival | none | 429 with `RetryInfo` and `QuotaFailure` |
/// | [`Groq`](Self::Groq) | a bucket | prompt and `max_tokens`, at arrival | `x-ratelimit-*`: requests per day, tokens per minute | 429; 413 if it is too large |
/// | [`Mistral`](Self::Mistral) | a sliding log | what was used, when the answer is complete | `x-ratelimit-*-minute`, no reset | 429 without `retry-after` |
/// | [`XAi`](Self::XAi) | requests every second, tokens a sliding log | what was used, when the answer is complete | none | 429 |
/// | [`Together`](Self::Together) | everything every second | what was used, when the answer is complete | `x-ratelimit-*` and `x-tokenlimit-*` per second | 429 |
/// | [`DeepSeek`](Self::DeepSeek) | what is in flight | nothing | none | 429 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Twin {
    /// OpenAI. Buckets are derived from header values, the charge is documented; that nothing is
    /// given back is the stricter reading of what is not.
    OpenAi,
    /// Azure OpenAI, standard deployments. Also under `/openai/deployments/{deployment}/…`.
    Azure,
    /// Anthropic. [Input](crate::Limit::input_tokens) and [output](crate::Limit::output_tokens)
    /// tokens have limits of their own.
    Anthropic,
    /// Google's Gemini API, under `/v1beta/…`: native, and in OpenAI's shapes. The window per minute
    /// is not documented; the twin's is the strictest.
    Gemini,
    /// Groq. Also under `/openai/v1/…`.
    Groq,
    /// Mistral. Its sliding window and its charge are measured, not documented.
    Mistral,
    /// xAI. The bodies of its refusals are not documented.
    XAi,
    /// Together AI.
    Together,
    /// DeepSeek. It limits [what is in flight](crate::Limit::concurrent) and nothing else.
    DeepSeek,
}

impl Twin {
    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::OpenAi => &openai::OpenAi,
            Self::Azure => &azure::Azure,
            Self::Anthropic => &anthropic::Anthropic,
            Self::Gemini => &gemini::Gemini,
            Self::Groq => &groq::Groq,
            Self::Mistral => &mistral::Mistral,
            Self::XAi => &xai::XAi,
            Self::Together => &together::Together,
            Self::DeepSeek => &deepseek::DeepSeek,
        }
    }
}

/// How a provider enforces, charges and tells.
pub(super) trait Dialect: fmt::Debug + Sync {
    /// What enforces a limit; each of these, if there are several.
    fn enforcements(&self, limit: &Limit) -> Vec<Enforcement>;

    fn charge(&self) -> TokenCharge;

    /// Whether requests that it refuses count against limits on requests.
    fn counts_refused(&self) -> bool {
        false
    }

    fn request_id(&self) -> HeaderName {
        HeaderName::from_static("x-request-id")
    }

    /// Adds what it tells about its limits.
    fn tell(&self, _headers: &mut HeaderMap, _told: &Told<'_>) {}

    fn status(&self, _refusal: &Refusal) -> StatusCode {
        StatusCode::TOO_MANY_REQUESTS
    }

    /// The body of a refusal.
    fn refuse(&self, refused: &Refused<'_>) -> Value;
}

/// What is counted as tokens of both kinds for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenCharge {
    /// Its prompt and the longest answer it allows, when it arrives.
    Reserved,
    /// The larger of its prompt and the cap it states, when it arrives.
    LargerOfPromptAndCap,
    /// Its prompt, when it arrives.
    Prompt,
    /// Its prompt and its answer, when it arrives.
    Actual,
    /// Its prompt and its answer, when that is complete.
    ActualAtEnd,
}

/// What headers tell of.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) decision: &'a Decision,
    pub(super) clock: WallClock,
    /// Prompt and answer, where that is known when the head is sent.
    pub(super) total_tokens: Option<u64>,
}

impl Told<'_> {
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.decision.refusal.as_ref()
    }

    /// How long a refused request has to wait, if that is known and helps.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.refusal()?.wait()
    }

    /// The first limit on a meter over less than a day.
    pub(super) fn short_term(&self, meter: Meter) -> Option<&Gauge> {
        self.gauges(meter).find(|gauge| gauge.window < DAY)
    }

    /// The first limit on a meter over a day.
    pub(super) fn daily(&self, meter: Meter) -> Option<&Gauge> {
        self.gauges(meter).find(|gauge| gauge.window >= DAY)
    }

    /// The limit on a meter that the least is left of.
    pub(super) fn tightest(&self, meter: Meter) -> Option<&Gauge> {
        self.gauges(meter).min_by_key(|gauge| gauge.remaining)
    }

    fn gauges(&self, meter: Meter) -> impl Iterator<Item = &Gauge> {
        let gauges = self.decision.gauges.iter();
        gauges.filter(move |gauge| gauge.meter == meter)
    }
}

/// What the body of a refusal tells of.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    pub(super) refusal: &'a Refusal,
    pub(super) model: &'a str,
    /// How the endpoint writes errors.
    pub(super) shape: ErrorShape,
    pub(super) request_id: &'a str,
}
