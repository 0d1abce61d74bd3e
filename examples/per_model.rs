//! One client for three models, each with a budget of its own.
//!
//! ```text
//! cargo run --example per_model
//! ```
//!
//! The provider limits each model for itself. A large model at its limit keeps nobody from the small
//! one, and a model that nobody configured has a budget, too.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proactive_rate_limit::per_model::{OtherModels, PerModelRateLimitLayer};
use proactive_rate_limit::simulator::{Simulator, SimulatorServer};
use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, RateLimitTracker, Tier};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};

/// A provider's minute, shortened so that you need not wait for it.
const MINUTE: Duration = Duration::from_secs(3);

/// What the provider allows of each model, and how much of it is asked for.
const MODELS: [(&str, u64, usize); 3] = [
    ("gpt-large", 10, 22),
    ("gpt-small", 60, 120),
    ("gpt-new", 20, 30),
];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut servers = Vec::new();
    for (_, allowed, _) in MODELS {
        servers.push(provider(allowed).await?);
    }

    // These lines are all of it.
    let layer = PerModelRateLimitLayer::new()
        .budget(limits("gpt-large", 10)?)
        .budget(limits("gpt-small", 60)?)
        .others(OtherModels::limit(limits("any", 20)?));
    let client = ServiceBuilder::new()
        .layer(layer)
        .service(Client::builder(TokioExecutor::new()).build_http());

    let start = Instant::now();
    let mut jobs = JoinSet::new();
    for ((model, _, count), server) in MODELS.iter().zip(&servers) {
        for _ in 0..*count {
            let request = ask(&server.url(), model)?;
            let client = client.clone();
            jobs.spawn(async move {
                let response = client.oneshot(request).await?;
                response.into_body().collect().await?;
                Ok::<_, BoxError>((*model, start.elapsed()))
            });
        }
    }
    let mut done = [Duration::ZERO; MODELS.len()];
    while let Some(job) = jobs.join_next().await {
        let (model, elapsed) = job??;
        for (done, (name, ..)) in done.iter_mut().zip(MODELS) {
            if name == model {
                *done = elapsed;
            }
        }
    }

    println!("a minute has {} seconds here\n", MINUTE.as_secs());
    println!(
        "{:12} {:>8} {:>10} {:>9} {:>13} {:>8}",
        "model", "limit", "answered", "refused", "worst minute", "done"
    );
    for (((model, allowed, count), server), done) in MODELS.iter().zip(&servers).zip(done) {
        let report = server.report();
        println!(
            "{model:12} {allowed:8} {:>10} {:9} {:13} {:>7.1}s",
            format!("{} of {count}", report.answered),
            report.throttled,
            report.worst_offered_requests,
            done.as_secs_f64(),
        );
        if report.throttled > 0 || report.answered != *count as u64 {
            return Err(format!("{model} was refused\n{report}").into());
        }
    }
    println!("\nThe budgets:");
    for stats in RateLimitTracker::global().stats() {
        println!("{:28} {:3} sent", stats.pool, stats.total_requests);
    }
    Ok(())
}

fn limits(model: &str, requests: u64) -> Result<ProactiveRateLimitLayer, BoxError> {
    let tier = Tier::builder("openai", model)
        .limit(Limit::requests(requests).per(MINUTE))
        .build()?;
    Ok(ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100)))
}

/// A server on loopback for one model, that enforces its limit exactly.
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

fn ask(url: &str, model: &str) -> Result<Request<Full<Bytes>>, BoxError> {
    let body = serde_json::json!({
        "model": model,
        "max_tokens": 20,
        "messages": [{ "role": "user", "content": "Say something kind." }],
    });
    let url: Uri = format!("{url}/v1/chat/completions").parse()?;
    Ok(Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))?)
}
