use std::time::Duration;

use serde_json::{Value, json};

use super::{DAY, Dialect, Refused, TokenCharge};
use crate::simulator::enforcement::{Enforcement, Midnight};
use crate::simulator::ledger::{Excess, Refusal};
use crate::tier::{Limit, Meter};

/// The Gemini API, in the words of its free tier.
#[derive(Debug)]
pub(super) struct Gemini;

impl Dialect for Gemini {
    fn enforcements(&self, limit: &Limit) -> Vec<Enforcement> {
        if limit.window() >= DAY {
            vec![Enforcement::Daily(Midnight::Pacific)]
        } else {
            vec![Enforcement::SlidingLog]
        }
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::Prompt
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let mut message = "You exceeded your current quota, please check your plan and billing \
                           details."
            .to_owned();
        let Refusal::Limits(excesses) = refused.refusal else {
            return exhausted(&message, &[]);
        };
        for excess in excesses {
            message += &format!(
                "\n* Quota exceeded for metric: {}, limit: {}, model: {}",
                metric(excess),
                excess.limit,
                refused.model,
            );
        }
        let violations = excesses
            .iter()
            .map(|excess| violation(excess, refused.model));
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": violations.collect::<Vec<_>>(),
        })];
        if let Some(wait) = refused.refusal.wait() {
            let wait = seconds(wait);
            message += &format!("\nPlease retry in {wait}.");
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": wait,
            }));
        }
        exhausted(&message, &details)
    }
}

fn exhausted(message: &str, details: &[Value]) -> Value {
    let mut body = json!({
        "error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message},
    });
    if !details.is_empty() {
        body["error"]["details"] = details.into();
    }
    body
}

fn violation(excess: &Excess, model: &str) -> Value {
    json!({
        "quotaMetric": metric(excess),
        "quotaId": quota_id(excess),
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": excess.limit.to_string(),
    })
}

fn metric(excess: &Excess) -> &'static str {
    match excess.meter {
        Meter::Requests | Meter::Concurrent => {
            "generativelanguage.googleapis.com/generate_content_free_tier_requests"
        }
        Meter::Tokens | Meter::InputTokens | Meter::OutputTokens => {
            "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count"
        }
    }
}

fn quota_id(excess: &Excess) -> &'static str {
    let requests = matches!(excess.meter, Meter::Requests | Meter::Concurrent);
    match (requests, excess.window >= DAY) {
        (true, false) => "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        (true, true) => "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        (false, false) => "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        (false, true) => "GenerateContentInputTokensPerModelPerDay-FreeTier",
    }
}

/// A duration as Protocol Buffers write it in JSON: `13s`, `38.2s`, `12.941102168s`.
fn seconds(wait: Duration) -> String {
    let (seconds, nanos) = (wait.as_secs(), wait.subsec_nanos());
    if nanos == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{nanos:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_written_as_protocol_buffers_write_them() {
        for (nanos, expected) in [
            (13_000_000_000, "13s"),
            (38_200_000_000, "38.2s"),
            (12_941_102_168, "12.941102168s"),
            (1, "0.000000001s"),
        ] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), expected);
        }
    }
}
