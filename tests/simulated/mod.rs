//! What the tests of the simulator share: requests, and ways to read answers.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn always<T: Clone>(value: T) -> RangeInclusive<T> {
    value.clone()..=value
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(http::header::HOST, "simulator")
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// A chat request with a prompt of this many tokens.
pub(crate) fn chat_body(input_tokens: usize, max_tokens: u64) -> Value {
    json!({
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "x".repeat(input_tokens * 4)}],
        "max_tokens": max_tokens,
    })
}

pub(crate) fn chat(input_tokens: usize, max_tokens: u64) -> Request<Full<Bytes>> {
    post(CHAT, chat_body(input_tokens, max_tokens).to_string())
}

pub(crate) fn streamed(mut body: Value) -> String {
    body["stream"] = true.into();
    body.to_string()
}

pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: Body,
    B::Error: std::fmt::Debug,
{
    let body = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

pub(crate) async fn value<B>(response: Response<B>) -> Value
where
    B: Body,
    B::Error: std::fmt::Debug,
{
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    serde_json::from_str(&text(response).await).expect("JSON")
}

pub(crate) fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    let value = response.headers().get(name)?;
    Some(value.to_str().expect("a text header"))
}

/// The names and payloads of server-sent events; `[DONE]` becomes a string.
pub(crate) fn events(stream: &str) -> Vec<(Option<String>, Value)> {
    let events = stream.strip_suffix("\n\n").expect("a complete last event");
    events
        .split("\n\n")
        .map(|event| {
            let mut name = None;
            let mut data = None;
            for line in event.lines() {
                match line.split_once(": ") {
                    Some(("event", value)) => name = Some(value.to_owned()),
                    Some(("data", "[DONE]")) => data = Some(json!("[DONE]")),
                    Some(("data", value)) => {
                        data = Some(serde_json::from_str(value).expect("JSON"));
                    }
                    _ => panic!("not a line of an event: {line:?}"),
                }
            }
            (name, data.expect("an event with data"))
        })
        .collect()
}
