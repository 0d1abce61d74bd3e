//! What each endpoint reads and writes: one file for each, and one line in [`find`].

mod chat;
mod embeddings;
mod event_stream;
mod fault;
mod filler;
mod messages;
mod prompt;
mod responses;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub(super) use self::event_stream::EventStream;
pub(super) use self::fault::{ErrorShape, Fault};

/// Where the wall clock of the simulated provider starts, in Unix seconds. It has one of its own so
/// that two runs with one seed give the same bytes.
const EPOCH: u64 = 1_800_000_000;

/// An endpoint of the provider.
pub(super) trait Endpoint: Sync {
    /// Reads a request, or says what is wrong with it.
    fn read(&self, body: &Value) -> Result<Prompt, String>;

    /// The answer in one piece.
    fn whole(&self, answer: &Answer) -> Value;

    /// How the answer is streamed, if it can be.
    fn stream(&self) -> Option<&'static dyn Stream> {
        None
    }

    fn errors(&self) -> ErrorShape {
        ErrorShape::OpenAi
    }
}

/// How an answer is spread over server-sent events.
pub(super) trait Stream: Sync {
    /// The events before the first token.
    fn opening(&self, answer: &Answer) -> Vec<Bytes>;

    /// The event of one token, counted from 0.
    fn token(&self, answer: &Answer, token: u64) -> Bytes;

    /// The events after the last token.
    fn closing(&self, answer: &Answer) -> Vec<Bytes>;
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) model: String,
    pub(super) input_tokens: u64,
    pub(super) output: Output,
    /// How many prompts there are in it.
    pub(super) inputs: usize,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// Whether text is generated, and how much at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Output {
    None,
    AtMost(u64),
    /// As much as the model can.
    Unlimited,
}

impl Output {
    /// The most tokens it can be, of a model that can do `longest`.
    pub(super) fn limit(self, longest: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::AtMost(limit) => limit,
            Self::Unlimited => longest,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) index: u64,
    pub(super) model: String,
    pub(super) created: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Whether the cap of the request cut it short.
    pub(super) truncated: bool,
    pub(super) inputs: usize,
    pub(super) include_usage: bool,
}

impl Answer {
    pub(super) fn new(
        index: u64,
        prompt: Prompt,
        output_tokens: u64,
        truncated: bool,
        at: Duration,
    ) -> Self {
        Self {
            index,
            model: prompt.model,
            created: EPOCH.saturating_add(at.as_secs()),
            input_tokens: prompt.input_tokens,
            output_tokens,
            truncated,
            inputs: prompt.inputs,
            include_usage: prompt.include_usage,
        }
    }

    fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    fn text(&self) -> String {
        filler::text(self.output_tokens)
    }
}

/// The endpoint at a path.
pub(super) fn find(path: &str) -> Option<&'static dyn Endpoint> {
    match path {
        "/v1/chat/completions" => Some(&chat::Chat),
        "/v1/responses" => Some(&responses::Responses),
        "/v1/embeddings" => Some(&embeddings::Embeddings),
        "/v1/messages" => Some(&messages::Messages),
        _ => None,
    }
}

/// An event without a name.
fn data(payload: &Value) -> Bytes {
    format!("data: {payload}\n\n").into()
}

/// An event named like the `type` in its payload.
fn named(payload: &Value) -> Bytes {
    let name = payload["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {payload}\n\n").into()
}
