//! What each endpoint reads and writes: one file for each, and one line in [`find`].

mod chat;
mod embeddings;
mod event_stream;
mod fault;
mod filler;
mod generate_content;
mod messages;
mod prompt;
mod responses;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub(super) use self::event_stream::EventStream;
pub(super) use self::fault::{ErrorShape, Fault};

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
    /// In Unix seconds.
    pub(super) created: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Whether the cap of the request cut it short.
    pub(super) truncated: bool,
    pub(super) inputs: usize,
    pub(super) include_usage: bool,
}

impl Answer {
    /// `created` is the time since the Unix epoch.
    pub(super) fn new(
        index: u64,
        prompt: Prompt,
        output_tokens: u64,
        truncated: bool,
        created: Duration,
    ) -> Self {
        Self {
            index,
            model: prompt.model,
            created: created.as_secs(),
            input_tokens: prompt.input_tokens,
            output_tokens,
            truncated,
            inputs: prompt.inputs,
            include_usage: prompt.include_usage,
        }
    }

    pub(super) fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    fn text(&self) -> String {
        filler::text(self.output_tokens)
    }
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) endpoint: &'static dyn Endpoint,
    /// The model, where the path names it.
    pub(super) model: Option<&'a str>,
}

/// The endpoint at a path.
pub(super) fn find(path: &str) -> Option<Route<'_>> {
    if let Some(called) = path.strip_prefix("/v1beta/models/") {
        let (model, method) = called.rsplit_once(':')?;
        let endpoint: &'static dyn Endpoint = match method {
            "generateContent" => &generate_content::GenerateContent { stream: false },
            "streamGenerateContent" => &generate_content::GenerateContent { stream: true },
            _ => return None,
        };
        let model = Some(model);
        return Some(Route { endpoint, model });
    }
    let (model, path) = match path.strip_prefix("/openai/deployments/") {
        Some(deployment) => {
            let (model, path) = deployment.split_once('/')?;
            (Some(model), path)
        }
        None => {
            let versions = ["/v1beta/openai/", "/openai/v1/", "/v1/", "/"];
            let path = versions.iter().find_map(|base| path.strip_prefix(base))?;
            (None, path)
        }
    };
    let endpoint: &'static dyn Endpoint = match path {
        "chat/completions" => &chat::Chat,
        "responses" => &responses::Responses,
        "embeddings" => &embeddings::Embeddings,
        "messages" => &messages::Messages,
        _ => return None,
    };
    Some(Route { endpoint, model })
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
