use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Refused, TokenCharge};
use crate::simulator::enforcement::Enforcement;
use crate::simulator::ledger::Refusal;
use crate::tier::{Limit, Meter};

/// "Your per-second limit is derived from your per-minute request budget (RPM / 60)" (2026-10).
const REQUESTS_EVERY: Duration = Duration::from_secs(1);

/// xAI.
#[derive(Debug)]
pub(super) struct XAi;

impl Dialect for XAi {
    fn enforcements(&self, limit: &Limit) -> Vec<Enforcement> {
        match limit.meter() {
            Meter::Requests => vec![Enforcement::Quantised {
                every: REQUESTS_EVERY,
            }],
            _ => vec![Enforcement::SlidingLog],
        }
    }

    fn charge(&self) -> TokenCharge {
        TokenCharge::ActualAtEnd
    }

    fn status(&self, refusal: &Refusal) -> StatusCode {
        match refusal {
            Refusal::Limits(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Exhausted => StatusCode::FORBIDDEN,
        }
    }

    fn refuse(&self, refused: &Refused<'_>) -> Value {
        let (code, error) = match refused.refusal.longest() {
            Some(excess) => (
                "Some resource has been exhausted",
                format!(
                    "Too many requests: the limit on {} of model {} is {}.",
                    excess.meter, refused.model, excess.limit,
                ),
            ),
            None => (
                "The caller does not have permission to execute the specified operation",
                "Your team has used all available credits.".to_owned(),
            ),
        };
        json!({"code": code, "error": error})
    }
}
