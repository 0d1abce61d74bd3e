//! A primary model, and two that help out.
//!
//! ```text
//! cargo run --example fallback
//! ```
//!
//! Sixty requests come at once. The primary's minute holds ten. Whoever it could not serve in time is
//! served by the small model; prompts that are too long for that one go to the model with the large
//! context.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Uri, header, uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proactive_rate_limit::fallback::{Fallback, Model, Strategy};
use proactive_rate_limit::simulator::{Simulator, SimulatorServer};
use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, Tier};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

/// A provider's minute, shortened so that you need not wait for it.
const MINUTE: Duration = Duration::from_secs(3);

/// What each provider allows, and the tokens that its model's context holds.
const PROVIDERS: [(&str, &str, u64, u64); 3] = [
    ("openai", "best", 10, 4_000),
    ("groq", "small", 40, 200),
    ("gemini", "long", 30, 100_000),
];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut servers = Vec::new();
    for (_, _, allowed, _) in PROVIDERS {
        servers.push(provider(allowed).await?);
    }

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut models = Vec::new();
    for ((provider, model, allowed, context), server) in PROVIDERS.iter().zip(&servers) {
        let tier = Tier::builder(*provider, *model)
            .limit(Limit::requests(*allowed).per(MINUTE))
            .context_window(*context)
            .build()?;
        let layer = ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100));
        let host: Uri = server.url().parse()?;
        models.push(
            Model::new(layer.layer(client.clone()))
                .try_rewrite(move |request| address(request, &host, model)),
        );
    }
    let mut models = models.into_iter();
    let primary = models.next().ok_or("no models")?;
    let fallback = models
        .fold(Fallback::new(primary), Fallback::alternate)
        .patience(Duration::from_millis(500))
        .strategy(Strategy::Smart);

    let start = Instant::now();
    let mut jobs = JoinSet::new();
    for index in 0..60 {
        // Each third prompt is long.
        let words = if index % 3 == 0 { 1_000 } else { 20 };
        let (fallback, request) = (fallback.clone(), ask(words)?);
        jobs.spawn(async move {
            let response = fallback.oneshot(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            Ok::<_, BoxError>(status)
        });
    }
    while let Some(job) = jobs.join_next().await {
        let status = job??;
        if !status.is_success() {
            return Err(format!("a request was answered {status}").into());
        }
    }

    println!("sixty answers in {:.1} s\n", start.elapsed().as_secs_f64());
    println!("{}\n", fallback.stats());
    for ((provider, model, allowed, _), server) in PROVIDERS.iter().zip(&servers) {
        let report = server.report();
        println!(
            "{provider:8} {model:6} allows {allowed:3} a minute: {:3} answered, {} refused, at most {} in a minute",
            report.answered, report.throttled, report.worst_offered_requests
        );
        if report.throttled > 0 {
            return Err(format!("{provider} refused\n{report}").into());
        }
    }
    Ok(())
}

/// A server on loopback that enforces its limit exactly.
async fn provider(requests: u64) -> Result<SimulatorServer, BoxError> {
    let simulator = Simulator::builder()
        .requests(requests)
        .window(MINUTE)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(20))
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .seed(1)
        .build();
    Ok(simulator.spawn().await?)
}

/// The request as a model's provider takes it: its host, its key, and the model's name.
fn address(
    request: Request<Full<Bytes>>,
    host: &Uri,
    model: &str,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let (mut parts, body) = request.into_parts();
    let mut uri = uri::Parts::from(host.clone());
    uri.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(uri)?;
    parts.headers.insert(
        header::AUTHORIZATION,
        format!("Bearer key-of-{model}").parse()?,
    );
    // The body is in memory: its future is ready.
    let bytes = futures_util::FutureExt::now_or_never(body.collect())
        .ok_or("a body that is not there yet")??
        .to_bytes();
    let mut json: serde_json::Value = serde_json::from_slice(&bytes)?;
    json["model"] = model.into();
    Ok(Request::from_parts(parts, Full::from(json.to_string())))
}

fn ask(words: usize) -> Result<Request<Full<Bytes>>, BoxError> {
    let body = serde_json::json!({
        "max_tokens": 20,
        "messages": [{ "role": "user", "content": "word ".repeat(words) }],
    });
    let request = Request::post("http://any.test/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))?;
    Ok(request)
}
