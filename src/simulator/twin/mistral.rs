use http::header::HeaderMap;
use serde_json::{Value, json};

use super::{Dialect, Refused, TokenCharge, Told};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::rate_headers;
use crate::tier::{Limit, Meter};

/// Mistral.
#[derive(Debug)]
pub(super) struct Mistral;

impl Dialect for Mistral {
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::SlidingLog]
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::ActualAtEnd
    }

    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        if let Some(gauge) = told.short_term(Meter::Requests) {
            rate_headers::number(headers, "x-ratelimit-limit-req-minute", gauge.limit);
            rate_headers::number(headers, "x-ratelimit-remaining-req-minute", gauge.remaining);
        }
        if let Some(gauge) = told.short_term(Meter::Tokens) {
            rate_headers::number(headers, "x-ratelimit-limit-tokens-minute", gauge.limit);
            let remaining = gauge.remaining;
            rate_headers::number(headers, "x-ratelimit-remaining-tokens-minute", remaining);
        }
        if let Some(tokens) = told.total_tokens {
            rate_headers::number(headers, "x-ratelimit-tokens-query-cost", tokens);
        }
    }

    /// One and the same, whether waiting helps or not.
    fn refuse(&self, _refused: &Refused<'_>) -> Value {
        json!({
            "object": "error",
            "message": "Rate limit exceeded",
            "type": "rate_limited",
            "param": null,
            "code": "1300",
            "raw_status_code": 429,
        })
    }
}
