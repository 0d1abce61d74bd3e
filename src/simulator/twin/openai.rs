use http::header::HeaderMap;
use serde_json::Value;

use super::{DAY, Dialect, Refused, TokenCharge, Told};
use crate::simulator::endpoint::Fault;
use crate::simulator::enforcement::Enforcement;
use crate::simulator::gate::Gauge;
use crate::simulator::ledger::{Excess, Refusal};
use crate::simulator::limiter::Wait;
use crate::simulator::rate_headers::{self, GoDuration};
use crate::tier::{Limit, Meter};

/// OpenAI, and what a simulator without a twin sounds like.
#[derive(Debug)]
pub(in crate::simulator) struct OpenAi;

impl Dialect for OpenAi {
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::TokenBucket]
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::LargerOfPromptAndCap
    }

    fn counts_refused(&self) -> bool {
        true
    }

    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        if let Some(gauge) = told.tightest(Meter::Requests) {
            insert_requests(headers, gauge);
        }
        if let Some(gauge) = told.tightest(Meter::Tokens) {
            insert_tokens(headers, gauge);
        }
        if let Some(wait) = told.wait() {
            rate_headers::retry_after(headers, wait);
            rate_headers::retry_after_ms(headers, wait);
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let fault = match refused.refusal {
            Refusal::Limits(excesses) => excesses
                .first()
                .map_or_else(no_quota, |excess| exceeded(excess, refused.model)),
            Refusal::Exhausted => no_quota(),
        };
        fault.to_json(refused.shape, refused.request_id)
    }
}

pub(super) fn insert_requests(headers: &mut HeaderMap, gauge: &Gauge) {
    rate_headers::number(headers, "x-ratelimit-limit-requests", gauge.limit);
    rate_headers::number(headers, "x-ratelimit-remaining-requests", gauge.remaining);
    let reset = GoDuration(gauge.reset);
    rate_headers::text(headers, "x-ratelimit-reset-requests", &reset);
}

pub(super) fn insert_tokens(headers: &mut HeaderMap, gauge: &Gauge) {
    rate_headers::number(headers, "x-ratelimit-limit-tokens", gauge.limit);
    rate_headers::number(headers, "x-ratelimit-remaining-tokens", gauge.remaining);
    let reset = GoDuration(gauge.reset);
    rate_headers::text(headers, "x-ratelimit-reset-tokens", &reset);
}

/// The account has nothing left to spend.
pub(super) fn no_quota() -> Fault {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    Fault::refusal("insufficient_quota", Some("insufficient_quota"), message)
}

fn exceeded(excess: &Excess, model: &str) -> Fault {
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
        Meter::Requests if daily => ("requests", "requests per day (RPD)"),
        Meter::Requests => ("requests", "requests per min (RPM)"),
        Meter::Concurrent => ("requests", "concurrent requests"),
        Meter::Tokens if daily => ("tokens", "tokens per day (TPD)"),
        Meter::Tokens => ("tokens", "tokens per min (TPM)"),
        Meter::InputTokens => ("tokens", "input tokens per min (ITPM)"),
        Meter::OutputTokens => ("tokens", "output tokens per min (OTPM)"),
    };
    let place = format!("for {model} in organization org-simulator on {name}: Limit {limit}");
    let message = match wait {
        Wait::For(wait) => format!(
            "Rate limit reached {place}, Used {used}, Requested {requested}. \
             Please try again in {}. \
             Visit https://platform.openai.com/account/rate-limits to learn more.",
            GoDuration(wait),
        ),
        Wait::Forever if kind == "tokens" => format!(
            "Request too large {place}, Requested {requested}. The input or output tokens \
             must be reduced in order to run successfully.",
        ),
        Wait::Forever | Wait::ForAnother => {
            format!("Rate limit reached {place}, Used {used}, Requested {requested}.")
        }
    };
    Fault::refusal(kind, Some("rate_limit_exceeded"), message)
}
