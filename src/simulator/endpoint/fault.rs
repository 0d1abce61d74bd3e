use http::StatusCode;
use serde_json::{Value, json};

/// How a provider writes its errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::simulator) enum ErrorShape {
    OpenAi,
    Anthropic,
    Gemini,
}

/// Why a request is not answered with what it asks for.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Fault {
    pub(in crate::simulator) status: StatusCode,
    message: String,
    /// `type` and `code` as OpenAI calls them; what others call so follows from the status.
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

    /// A refusal in the shape of most: status 429.
    pub(in crate::simulator) fn refusal(
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
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
            ErrorShape::Gemini => json!({
                "error": {
                    "code": self.status.as_u16(),
                    "message": self.message,
                    "status": self.google_status(),
                },
            }),
        }
    }

    fn google_status(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            status if status.is_client_error() => "INVALID_ARGUMENT",
            _ => "INTERNAL",
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
