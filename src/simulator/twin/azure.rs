use std::time::Duration;

use http::header::HeaderMap;
use serde_json::{Value, json};

use super::openai::no_quota;
use super::{Dialect, Refused, TokenCharge, Told};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::ledger::Refusal;
use crate::simulator::rate_headers::{self, ceil_to_seconds};
use crate::tier::{Limit, Meter};

/// "Typically 1 or 10 seconds"; tier tables print limits as "300 / 10s" (2026-05-06).
const REQUESTS_EVERY: Duration = Duration::from_secs(10);

/// Azure OpenAI.
#[derive(Debug)]
pub(super) struct Azure;

impl Dialect for Azure {
    fn enforcements(&self, limit: &Limit) -> Vec<Enforcement> {
        match limit.meter() {
            Meter::Requests => vec![
                Enforcement::FixedCounter,
                Enforcement::Quantised {
                    every: REQUESTS_EVERY,
                },
            ],
            _ => vec![Enforcement::FixedCounter],
        }
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::Reserved
    }

    fn counts_refused(&self) -> bool {
        true
    }

    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        if let Some(gauge) = told.short_term(Meter::Requests) {
            rate_headers::number(headers, "x-ratelimit-limit-requests", gauge.limit);
            rate_headers::number(headers, "x-ratelimit-remaining-requests", gauge.remaining);
            let reset = ceil_to_seconds(gauge.reset);
            rate_headers::number(headers, "x-ratelimit-reset-requests", reset);
        }
        if let Some(gauge) = told.short_term(Meter::Tokens) {
            rate_headers::number(headers, "x-ratelimit-limit-tokens", gauge.limit);
            rate_headers::number(headers, "x-ratelimit-remaining-tokens", gauge.remaining);
            let reset = ceil_to_seconds(gauge.reset);
            rate_headers::number(headers, "x-ratelimit-reset-tokens", reset);
        }
        if let Some(wait) = told.wait() {
            rate_headers::retry_after(headers, wait);
            rate_headers::retry_after_ms(headers, wait);
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let advice = match (refused.refusal, refused.refusal.wait()) {
            (Refusal::Exhausted, _) => {
                return no_quota().to_json(refused.shape, refused.request_id);
            }
            (Refusal::Limits(_), Some(wait)) => {
                format!(" Try again in {} seconds.", ceil_to_seconds(wait))
            }
            (Refusal::Limits(_), None) => String::new(),
        };
        let message = format!(
            "Requests to {} have been limited. Rate limit is exceeded.{advice}",
            refused.model,
        );
        json!({"error": {"code": "429", "message": message}})
    }
}
