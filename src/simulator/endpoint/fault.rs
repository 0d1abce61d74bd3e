use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::simulator::ledger::{Meter, Refusal};
use crate::simulator::rate_headers::GoDuration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a provider writes its errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::simulator) enum ErrorShape {
    OpenAi,
    Anthropic,
}

/// Why a request is not answered with what it asks for.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Fault {
    pub(in crate::simulator) status: StatusCode,
    message: String,
    /// `type` and `code` as OpenAI calls them; Anthropic's type follows from the status.
    kind: &'static str,
    code: Option<&'static str>,
}

impl Fault {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            kind,
            code,
        }
    }

    /// The client's mistake.
    fn invalid(status: StatusCode, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", code, message)
    }

    pub(in crate::simulator) fn unknown_url(path: &str) -> Self {
        let message = format!("Invalid URL ({path})");
        Self::invalid(StatusCode::NOT_FOUND, Some("unknown_url"), message)
    }

    pub(in crate::simulator) fn wrong_method(method: &http::Method) -> Self {
        let message = format!("Not allowed to {method} (this endpoint accepts POST only)");
        let code = Some("method_not_supported");
        Self::invalid(StatusCode::METHOD_NOT_ALLOWED, code, message)
    }

    pub(in crate::simulator) fn too_large() -> Self {
        let message = "The body of the request is too large.";
        Self::invalid(StatusCode::PAYLOAD_TOO_LARGE, None, message)
    }

    pub(in crate::simulator) fn broken_off() -> Self {
        Self::bad_request("The body of the request broke off.")
    }

    pub(in crate::simulator) fn bad_request(message: impl Into<String>) -> Self {
        Self::invalid(StatusCode::BAD_REQUEST, None, message)
    }

    pub(in crate::simulator) fn failure() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", None, message)
    }

    /// A refusal by the limiter. `window` only decides how the limit is called.
    pub(in crate::simulator) fn throttled(
        refusal: &Refusal,
        model: Option<&str>,
        window: Duration,
    ) -> Self {
        let Refusal {
            meter,
            limit,
            used,
            requested,
            wait,
        } = *refusal;
        let model = model.unwrap_or("default");
        let (kind, name) = match (meter, window >= DAY) {
            (Meter::Requests, false) => ("requests", "requests per min (RPM)"),
            (Meter::Requests, true) => ("requests", "requests per day (RPD)"),
            (Meter::Tokens, false) => ("tokens", "tokens per min (TPM)"),
            (Meter::Tokens, true) => ("tokens", "tokens per day (TPD)"),
        };
        let place = format!("for {model} in organization org-simulator on {name}: Limit {limit}");
        let message = match (wait, meter) {
            (Some(wait), _) => format!(
                "Rate limit reached {place}, Used {used}, Requested {requested}. \
                 Please try again in {}. \
                 Visit https://platform.openai.com/account/rate-limits to learn more.",
                GoDuration(wait),
            ),
            (None, Meter::Tokens) => format!(
                "Request too large {place}, Requested {requested}. The input or output tokens \
                 must be reduced in order to run successfully.",
            ),
            (None, Meter::Requests) => {
                format!("Rate limit reached {place}, Used {used}, Requested {requested}.")
            }
        };
        let code = Some("rate_limit_exceeded");
        Self::new(StatusCode::TOO_MANY_REQUESTS, kind, code, message)
    }

    pub(in crate::simulator) fn to_json(&self, shape: ErrorShape, request_id: &str) -> Value {
        match shape {
            ErrorShape::OpenAi => json!({
                "error": {
                    "message": self.message,
                    "type": self.kind,
                    "param": null,
                    "code": self.code,
                },
            }),
            ErrorShape::Anthropic => json!({
                "type": "error",
                "error": {"type": self.anthropic_type(), "message": self.message},
                "request_id": request_id,
            }),
        }
    }

    fn anthropic_type(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        }
    }
}
