use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    TRANSFER_ENCODING,
};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::draw::Draw;
use super::headers;
use super::kind::FaultKind;

/// Marks a request that was sent on by a redirect.
const REDIRECTED: &str = "redirected";

/// What an injected answer needs to know of its request.
#[derive(Debug)]
pub(super) struct Asked {
    shape: Shape,
    /// Where to send the request on to; `None` if it was sent on already.
    redirect: Option<HeaderValue>,
}

/// How a provider writes its errors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    OpenAi,
    Anthropic,
}

impl Asked {
    pub(super) fn of(uri: &Uri) -> Self {
        let redirect = match uri.query() {
            Some(query) if query.split('&').any(|key| key == REDIRECTED) => None,
            Some(query) => Some(format!("{}?{query}&{REDIRECTED}", uri.path())),
            None => Some(format!("{}?{REDIRECTED}", uri.path())),
        };
        Self {
            shape: match uri.path() {
                "/v1/messages" => Shape::Anthropic,
                _ => Shape::OpenAi,
            },
            redirect: redirect.and_then(|to| HeaderValue::try_from(to).ok()),
        }
    }

    /// The event that ends a stream with an error.
    pub(super) fn error_event(&self) -> Bytes {
        let error = self.shape.error(StatusCode::SERVICE_UNAVAILABLE);
        match self.shape {
            Shape::OpenAi => format!("data: {error}\n\n"),
            Shape::Anthropic => format!("event: error\ndata: {error}\n\n"),
        }
        .into()
    }

    /// Turns a head into that of the answer which `fault` puts in its place, and returns the body;
    /// `None`, and nothing changed, if it cannot happen to this request.
    pub(super) fn replace(
        &self,
        fault: FaultKind,
        draw: &Draw,
        head: &mut http::response::Parts,
    ) -> Option<Bytes> {
        let (status, asks_to_wait) = match fault {
            FaultKind::ServerError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                draw.failure_has_retry_after,
            ),
            FaultKind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                draw.failure_has_retry_after,
            ),
            FaultKind::Overloaded => (overloaded(), draw.failure_has_retry_after),
            FaultKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, true),
            FaultKind::Redirect => {
                let to = self.redirect.clone()?;
                head.headers.insert(LOCATION, to);
                (StatusCode::TEMPORARY_REDIRECT, false)
            }
            _ => return None,
        };
        head.status = status;
        forget_body(&mut head.headers);
        headers::forget_wait(&mut head.headers);
        if asks_to_wait {
            headers::ask_to_wait(&mut head.headers, draw.retry_after);
        }
        if fault == FaultKind::Redirect {
            return Some(Bytes::new());
        }
        head.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(self.shape.error(status).to_string().into())
    }
}

impl Shape {
    fn error(self, status: StatusCode) -> Value {
        match self {
            Self::OpenAi => {
                let (kind, code, message) = match status {
                    StatusCode::TOO_MANY_REQUESTS => (
                        "requests",
                        Some("rate_limit_exceeded"),
                        "Rate limit reached. Please try again later.",
                    ),
                    StatusCode::INTERNAL_SERVER_ERROR => (
                        "server_error",
                        None,
                        "The server had an error while processing your request. Sorry about that!",
                    ),
                    _ => (
                        "server_error",
                        None,
                        "The engine is currently overloaded, please try again later.",
                    ),
                };
                json!({
                    "error": {"message": message, "type": kind, "param": null, "code": code},
                })
            }
            Self::Anthropic => {
                let (kind, message) = match status {
                    StatusCode::TOO_MANY_REQUESTS => (
                        "rate_limit_error",
                        "This request would exceed your rate limit. Please try again later.",
                    ),
                    StatusCode::INTERNAL_SERVER_ERROR => ("api_error", "Internal server error"),
                    _ => ("overloaded_error", "Overloaded"),
                };
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
        }
    }
}

fn overloaded() -> StatusCode {
    // A status of three digits, which all are.
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// What described the body that is replaced.
fn forget_body(headers: &mut HeaderMap) {
    for name in [
        CONTENT_LENGTH,
        CONTENT_TYPE,
        CONTENT_ENCODING,
        TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(uri: &'static str) -> Option<HeaderValue> {
        Asked::of(&Uri::from_static(uri)).redirect
    }

    #[test]
    fn a_request_is_sent_on_once() {
        for (uri, to) in [
            ("http://a.test/v1/chat", "/v1/chat?redirected"),
            ("/v1/chat?a=1", "/v1/chat?a=1&redirected"),
        ] {
            assert_eq!(redirect(uri).unwrap(), to);
        }
        assert_eq!(redirect("/v1/chat?redirected"), None);
        assert_eq!(redirect("/v1/chat?a=1&redirected"), None);
    }

    #[test]
    fn an_error_event_has_its_providers_shape() {
        let event = |path| Asked::of(&Uri::from_static(path)).error_event();

        let openai = event("/v1/chat/completions");
        let payload = openai.strip_prefix(b"data: ").unwrap();
        let payload: Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(payload["error"]["type"], "server_error");

        let anthropic = event("/v1/messages");
        let payload = anthropic.strip_prefix(b"event: error\ndata: ").unwrap();
        let payload: Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(payload["type"], "error");
        assert_eq!(payload["error"]["type"], "overloaded_error");
    }
}
