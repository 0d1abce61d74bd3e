use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{DAY, Dialect, Refused, TokenCharge, Told};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::gate::Gauge;
use crate::simulator::ledger::{Excess, Refusal};
use crate::simulator::rate_headers;
use crate::tier::{Limit, Meter};

/// What tokens that remain are rounded to.
const THOUSAND: u64 = 1_000;

/// Anthropic.
#[derive(Debug)]
pub(super) struct Anthropic;

/// Limit, remaining and reset of one limit.
type Names = [&'static str; 3];

const REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const INPUT: Names = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const OUTPUT: Names = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];
/// The limit that binds: without one of a workspace, that of input and output together.
const TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

impl Dialect for Anthropic {
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::TokenBucket]
    }

    /// Of a limit on both kinds of tokens, which Anthropic has none of.
    fn charge(&self) -> TokenCharge {
        TokenCharge::ActualAtEnd
    }

    fn request_id(&self) -> HeaderName {
        HeaderName::from_static("request-id")
    }

    fn tell(&self, headers: &mut HeaderMap, told: &Told<'_>) {
        let input = told.short_term(Meter::InputTokens);
        let output = told.short_term(Meter::OutputTokens);
        let rounded = [(INPUT, input), (OUTPUT, output)];
        if let Some(gauge) = told.short_term(Meter::Requests) {
            insert(headers, told, REQUESTS, gauge);
        }
        for (names, gauge) in rounded {
            if let Some(gauge) = gauge {
                insert(headers, told, names, &in_thousands(gauge));
            }
        }
        if let (Some(input), Some(output)) = (input, output) {
            insert(
                headers,
                told,
                TOKENS,
                &in_thousands(&together(input, output)),
            );
        }
        if let Some(wait) = told.wait() {
            rate_headers::retry_after(headers, wait);
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let error = match refused.refusal {
            Refusal::Limits(excesses) => json!({
                "type": "rate_limit_error",
                "message": excesses.first().map_or_else(String::new, exceeded),
            }),
            Refusal::Exhausted => json!({
                "type": "rate_limit_error",
                "message": "Your organization has reached its spend limit for this month.",
                "details": {"error_code": "enforced_spend_limit_reached"},
            }),
        };
        json!({"type": "error", "error": error, "request_id": refused.request_id})
    }
}

fn insert(headers: &mut HeaderMap, told: &Told<'_>, names: Names, gauge: &Gauge) {
    let [limit, remaining, reset] = names;
    rate_headers::number(headers, limit, gauge.limit);
    rate_headers::number(headers, remaining, gauge.remaining);
    let full_at = told.decision.at.saturating_add(gauge.reset);
    if let Some(time) = told.clock.at(full_at).and_then(whole_second) {
        rate_headers::text(headers, reset, &time);
    }
}

/// The first whole second that is not before `time`.
fn whole_second(time: SystemTime) -> Option<Timestamp> {
    let time = Timestamp::try_from(time).ok()?;
    let up = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second().checked_add(up)?).ok()
}

fn in_thousands(gauge: &Gauge) -> Gauge {
    let thousands = gauge.remaining.saturating_add(THOUSAND / 2) / THOUSAND;
    Gauge {
        remaining: thousands * THOUSAND,
        ..*gauge
    }
}

fn together(input: &Gauge, output: &Gauge) -> Gauge {
    Gauge {
        limit: input.limit.saturating_add(output.limit),
        remaining: input.remaining.saturating_add(output.remaining),
        reset: input.reset.max(output.reset),
        ..*input
    }
}

fn exceeded(excess: &Excess) -> String {
    let window = match excess.window {
        Duration::ZERO => String::new(),
        DAY => " per day".to_owned(),
        _ => " per minute".to_owned(),
    };
    format!(
        "This request would exceed your organization's rate limit of {} {}{window}.",
        excess.limit, excess.meter,
    )
}
