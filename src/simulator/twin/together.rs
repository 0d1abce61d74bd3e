use std::time::Duration;

use http::StatusCode;
use http::header::HeaderMap;
use serde_json::{Value, json};

use super::{Dialect, Refused, TokenCharge, Told};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::ledger::Refusal;
use crate::simulator::rate_headers::{self, ceil_to_seconds};
use crate::tier::{Limit, Meter};

/// "We measure rate limits in seconds, but display them in minutes" (2026).
const EVERY: Duration = Duration::from_secs(1);

/// Together AI, at a dynamic rate that stays what it is.
#[derive(Debug)]
pub(super) struct Together;

impl Dialect for Together {
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::Quantised { every: EVERY }]
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::ActualAtEnd
    }

    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        if let Some(gauge) = told.short_term(Meter::Requests) {
            for (name, value) in [
                ("x-ratelimit-limit", gauge.limit),
                ("x-ratelimit-limit-dynamic", gauge.limit),
                ("x-ratelimit-remaining", gauge.remaining),
                ("x-ratelimit-remaining-dynamic", gauge.remaining),
                ("x-ratelimit-reset", ceil_to_seconds(gauge.reset)),
                ("x-ratelimit-reset-dynamic", ceil_to_seconds(gauge.reset)),
            ] {
                rate_headers::number(headers, name, value);
            }
        }
        if let Some(gauge) = told.short_term(Meter::Tokens) {
            for (name, value) in [
                ("x-tokenlimit-limit", gauge.limit),
                ("x-tokenlimit-limit-dynamic", gauge.limit),
                ("x-tokenlimit-remaining", gauge.remaining),
                ("x-tokenlimit-remaining-dynamic", gauge.remaining),
            ] {
                rate_headers::number(headers, name, value);
            }
        }
    }

    fn status(&self, refusal: &Refusal) -> StatusCode {
        match refusal {
            Refusal::Limits(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Exhausted => StatusCode::PAYMENT_REQUIRED,
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let (kind, message) = match refused.refusal.longest() {
            Some(excess) => {
                let kind = match excess.meter {
                    Meter::Requests | Meter::Concurrent => "dynamic_request_limited",
                    _ => "dynamic_token_limited",
                };
                (
                    kind,
                    format!("You are above the rate limit of model {}.", refused.model),
                )
            }
            None => ("credit_limit", "Credit limit exceeded.".to_owned()),
        };
        json!({
            "error": {"message": message, "type": kind, "param": null, "code": null},
            "error_type": kind,
        })
    }
}
