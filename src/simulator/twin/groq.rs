use http::StatusCode;
use http::header::HeaderMap;
use serde_json::Value;

use super::openai::{insert_requests, insert_tokens, no_quota};
use super::{DAY, Dialect, Refused, TokenCharge, Told};
use crate::simulator::endpoint::Fault;
use crate::simulator::enforcement::Enforcement;
use crate::simulator::ledger::{Excess, Refusal};
use crate::simulator::limiter::Wait;
use crate::simulator::rate_headers::{self, GoDuration};
use crate::tier::{Limit, Meter};

/// Groq.
#[derive(Debug)]
pub(super) struct Groq;

impl Dialect for Groq {
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::TokenBucket]
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::Reserved
    }

    /// Requests are always those per day, tokens those per minute.
    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        if let Some(gauge) = told.daily(Meter::Requests) {
            insert_requests(headers, gauge);
        }
        let tokens = told.short_term(Meter::Tokens);
        if let Some(gauge) = tokens {
            insert_tokens(headers, gauge);
        }
        if let Some(wait) = told.wait() {
            rate_headers::retry_after(headers, wait);
        } else if told.refusal().is_some_and(is_too_large) {
            // Useless: the request never fits. It is sent all the same.
            let reset = tokens.map(|gauge| gauge.reset).unwrap_or_default();
            rate_headers::retry_after(headers, reset);
        }
    }

    fn status(&self, refusal: &Refusal) -> StatusCode {
        if is_too_large(refusal) {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::TOO_MANY_REQUESTS
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let fault = match refused.refusal.longest() {
            Some(excess) => exceeded(excess, refused),
            None => no_quota(),
        };
        fault.to_json(refused.shape, refused.request_id)
    }
}

/// A request for more tokens than the limit itself.
fn is_too_large(refusal: &Refusal) -> bool {
    refusal
        .longest()
        .is_some_and(|excess| excess.wait == Wait::Forever && excess.meter == Meter::Tokens)
}

fn exceeded(excess: &Excess, refused: &Refused<'_>) -> Fault {
    let Excess {
        meter,
        window,
        limit,
        used,
        requested,
        wait,
    } = *excess;
    let daily = window >= DAY;
    let (kind, name) = match meter {
        Meter::Requests | Meter::Concurrent if daily => ("requests", "requests per day (RPD)"),
        Meter::Requests | Meter::Concurrent => ("requests", "requests per minute (RPM)"),
        _ if daily => ("tokens", "tokens per day (TPD)"),
        _ => ("tokens", "tokens per minute (TPM)"),
    };
    let place = format!(
        "for model `{}` in organization `org_simulator` service tier `on_demand` on {name}: \
         Limit {limit}",
        refused.model,
    );
    let message = if is_too_large(refused.refusal) {
        format!(
            "Request too large {place}, Requested {requested}, please reduce your message size \
             and try again."
        )
    } else {
        let advice = wait.known().map_or_else(String::new, |wait| {
            format!(" Please try again in {}.", GoDuration(wait))
        });
        format!("Rate limit reached {place}, Used {used}, Requested {requested}.{advice}")
    };
    Fault::refusal(kind, Some("rate_limit_exceeded"), message)
}
