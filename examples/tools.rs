//! Models as an agent's tools, by purpose, and a tool that tells which are to be had.
//!
//! ```text
//! cargo run --example tools
//! ```
//!
//! Each tool is a model with one to fall back on, both under their limits. Errors come back as text, so
//! that an agent can go on with them. Here a script stands in for the agent, and a simulator for the
//! provider.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::fallback::{Fallback, Model, Strategy};
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{BoxError, Cost, ProactiveRateLimitLayer, RateLimitTracker, Tier};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};

type Body = Full<Bytes>;

/// The purposes, with the model for each and the one to fall back on, of the catalogue's `tier1`.
const PURPOSES: [(&str, &str, &str, &str); 7] = [
    (
        "long_context",
        "gpt-4o",
        "gpt-4o-mini",
        "whole documents and long histories",
    ),
    (
        "reasoning",
        "o1",
        "o1-mini",
        "problems that take several steps",
    ),
    ("best_model", "gpt-4o", "gpt-4o-mini", "what has to be good"),
    (
        "second_best_model",
        "gpt-4o-mini",
        "gpt-3.5-turbo",
        "what has to be good enough",
    ),
    (
        "fast",
        "gpt-4o-mini",
        "gpt-3.5-turbo",
        "what has to be quick",
    ),
    ("accurate", "gpt-4o", "gpt-4o-mini", "facts and figures"),
    (
        "budget",
        "gpt-4o-mini",
        "gpt-3.5-turbo",
        "what has to be cheap",
    ),
];

/// How long an agent waits for a tool before it is told to try another.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the agent of this example calls, two of three of them for reasoning.
const CALLS: u64 = 12;

const AVAILABILITY: &str = "check_llm_availability";

/// What an agent may call.
struct Tools<S> {
    models: BTreeMap<String, (Fallback<S, Body>, &'static str)>,
    tracker: RateLimitTracker,
}

impl<S, R> Tools<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    /// Tools over `client`, each model under its published limits.
    fn new(client: &S) -> Result<Self, BoxError> {
        let tracker = RateLimitTracker::new();
        let mut models = BTreeMap::new();
        for (purpose, primary, alternate, good_for) in PURPOSES {
            let model = |name: &'static str| {
                let tier = Tier::lookup("openai", name, "tier1")?;
                let layer = ProactiveRateLimitLayer::new(tier)
                    .tracker(&tracker)
                    .max_wait(PATIENCE);
                let model = Model::new(layer.layer(client.clone()));
                Ok::<_, BoxError>(model.try_rewrite(move |request| named(request, name)))
            };
            let tool = Fallback::new(model(primary)?)
                .alternate(model(alternate)?)
                .patience(PATIENCE / 5)
                .strategy(Strategy::Smart);
            models.insert(format!("invoke_llm_openai_{purpose}"), (tool, good_for));
        }
        Ok(Self { models, tracker })
    }

    /// The definitions, as providers' APIs take them.
    fn definitions(&self) -> Value {
        let models = self.models.iter().map(|(name, (_, good_for))| {
            json!({
                "type": "function",
                "function": {
                    "name": name,
                    "description": format!("Asks another model. Good for {good_for}."),
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "task_description": {
                                "type": "string",
                                "description": "Everything that the model has to know.",
                            },
                        },
                        "required": ["task_description"],
                    },
                },
            })
        });
        let availability = json!({
            "type": "function",
            "function": {
                "name": AVAILABILITY,
                "description": "Tells which models are to be had, and when the others will be.",
                "parameters": { "type": "object", "properties": {} },
            },
        });
        models.chain([availability]).collect()
    }

    /// What a tool answers. Whatever goes wrong is text as well.
    async fn call(&self, name: &str, arguments: &Value) -> String {
        if name == AVAILABILITY {
            return self.availability();
        }
        let Some((tool, _)) = self.models.get(name) else {
            return format!("error: there is no tool {name:?}");
        };
        let Some(task) = arguments["task_description"].as_str() else {
            return "error: task_description is missing".to_owned();
        };
        match self.ask(tool.clone(), task).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        }
    }

    async fn ask(&self, tool: Fallback<S, Body>, task: &str) -> Result<String, BoxError> {
        let body = json!({
            "max_tokens": 200,
            "messages": [{ "role": "user", "content": task }],
        });
        let request = Request::post("/v1/chat/completions").body(Full::from(body.to_string()))?;
        let response = tool.oneshot(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(Into::into)?;
        if !status.is_success() {
            return Err(format!("the provider answered {status}").into());
        }
        let answer: Value = serde_json::from_slice(&body.to_bytes())?;
        let text = answer["choices"][0]["message"]["content"].as_str();
        Ok(text.ok_or("an answer without text")?.to_owned())
    }

    /// How full the models are, for a request of some thousand tokens.
    fn availability(&self) -> String {
        let usual = Cost::request().with_input_tokens(1_000).with_tokens(1_200);
        let capacity = self.tracker.capacity(&usual);
        let lines = capacity.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The same request for the model of this name.
fn named(request: Request<Body>, model: &str) -> Result<Request<Body>, BoxError> {
    let (parts, body) = request.into_parts();
    // The body is in memory: its future is ready.
    let bytes = futures_util::FutureExt::now_or_never(body.collect())
        .ok_or("a body that is not there yet")??
        .to_bytes();
    let mut json: Value = serde_json::from_slice(&bytes)?;
    json["model"] = model.into();
    Ok(Request::from_parts(parts, Full::from(json.to_string())))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let provider = Simulator::builder()
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .seed(1)
        .build();
    let tools = std::sync::Arc::new(Tools::new(&provider)?);

    let definitions = tools.definitions();
    println!(
        "{} tools, the first of them:",
        definitions.as_array().map_or(0, Vec::len)
    );
    println!("{:#}\n", definitions[0]);

    // An agent in a hurry: more reasoning at once than its model is allowed in as many seconds.
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let tools = tools.clone();
        calls.spawn(async move {
            let name = match number % 3 {
                0 => "invoke_llm_openai_fast",
                _ => "invoke_llm_openai_reasoning",
            };
            let task = json!({ "task_description": format!("Task number {number}.") });
            tools.call(name, &task).await
        });
    }
    let answers = calls.join_all().await;
    let failed = answers
        .iter()
        .filter(|answer| answer.starts_with("error: "))
        .count();
    println!("{} answers, of which {failed} are errors\n", answers.len());
    for (name, (tool, _)) in &tools.models {
        if tool.stats().total_requests > 0 {
            println!("{name}\n{}\n", tool.stats());
        }
    }
    println!(
        "{AVAILABILITY}\n{}\n",
        tools.call(AVAILABILITY, &json!({})).await
    );
    println!("{}", tools.call("invoke_llm_openai_fast", &json!({})).await);

    let report = provider.report();
    if failed > 0 || report.answered != CALLS {
        return Err(format!("{failed} calls failed\n{report}").into());
    }
    Ok(())
}
