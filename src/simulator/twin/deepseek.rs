use http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Refused, TokenCharge};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::ledger::Refusal;
use crate::tier::Limit;

/// DeepSeek.
#[derive(Debug)]
pub(super) struct DeepSeek;

impl Dialect for DeepSeek {
    /// Of limits that DeepSeek has none of: what is in flight is counted whatever is said here.
    fn enforcements(&self, _limit: &Limit) -> Vec<Enforcement> {
        vec![Enforcement::SlidingLog]
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::ActualAtEnd
    }

    fn status(&self, refusal: &Refusal) -> StatusCode {
        match refusal {
            Refusal::Limits(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Exhausted => StatusCode::PAYMENT_REQUIRED,
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let (code, message) = match refused.refusal.longest() {
            Some(excess) => (
                "rate_limit_exceeded",
                format!(
                    "Too many {} for model {}: the limit is {}.",
                    excess.meter, refused.model, excess.limit,
                ),
            ),
            None => ("invalid_request_error", "Insufficient Balance".to_owned()),
        };
        json!({"error": {"message": message, "type": "unknown_error", "param": null, "code": code}})
    }
}
