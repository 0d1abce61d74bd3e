//! reqwest's client under a provider's limits. Without a URL it talks to a simulated provider.
//!
//! ```text
//! cargo run --example reqwest_client
//! cargo run --example reqwest_client -- http://127.0.0.1:8000/v1
//! ```
//!
//! Eight workers send forty requests, half of them for a stream, as fast as the limits let them.

use std::time::{Duration, Instant};

use proactive_rate_limit::reqwest::ReqwestLayer;
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{BoxError, Charge, Limit, ProactiveRateLimitLayer, Tier};
use reqwest::Client;
use tower::ServiceBuilder;

/// A provider's minute, shortened so that you need not wait for it.
const MINUTE: Duration = Duration::from_secs(2);
const REQUESTS_PER_MINUTE: u64 = 30;
const TOKENS_PER_MINUTE: u64 = 6_000;

const JOBS: usize = 40;
const WORKERS: usize = 8;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let server = provider().spawn().await?;
    let base_url = std::env::args().nth(1);
    let is_simulated = base_url.is_none();
    let base_url = base_url.unwrap_or_else(|| format!("{}/v1", server.url()));
    let key = std::env::var("OPENAI_API_KEY").unwrap_or_else(|_| "none".to_owned());

    let tier = Tier::builder("openai-compatible", "gpt-4o-mini")
        .limit(Limit::requests(REQUESTS_PER_MINUTE).per(MINUTE))
        .limit(Limit::tokens(TOKENS_PER_MINUTE).per(MINUTE))
        .charge(Charge::Actual)
        .build()?;
    let limits = ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100));

    // What is retried and redirected below the layer is not counted.
    let client = Client::builder()
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    // These lines are all of it.
    let limited = ServiceBuilder::new()
        .layer(ReqwestLayer::new(limits.clone()))
        .service(client.clone());

    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (client, limited) = (client.clone(), limited.clone());
            let (url, key) = (format!("{base_url}/chat/completions"), key.clone());
            tokio::spawn(async move {
                for job in (worker..JOBS).step_by(WORKERS) {
                    let request = client.post(&url).bearer_auth(&key).json(&ask(job % 2 == 0));
                    let response = limited.execute(request.build()?).await?;
                    // Read to its end, its usage settles the budget.
                    response.error_for_status()?.bytes().await?;
                }
                Ok::<_, BoxError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }

    println!("{JOBS} answers in {:.1} s", start.elapsed().as_secs_f64());
    println!("\nThe layer's account:\n{}", limits.stats()?);
    if is_simulated {
        let report = server.report();
        println!("\nThe provider's:\n{report}");
        if report.throttled > 0 || report.answered != JOBS as u64 {
            return Err("the provider refused something".into());
        }
    }
    Ok(())
}

fn ask(stream: bool) -> serde_json::Value {
    let mut body = serde_json::json!({
        "model": "gpt-4o-mini",
        "max_tokens": 120,
        "messages": [{ "role": "user", "content": "Say something kind." }],
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = serde_json::json!({ "include_usage": true });
    }
    body
}

/// A provider that enforces the limits exactly.
fn provider() -> Simulator {
    Simulator::builder()
        .requests(REQUESTS_PER_MINUTE)
        .tokens(TOKENS_PER_MINUTE)
        .window(MINUTE)
        .charge(Charge::Actual)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(20))
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .output_tokens(20..=120)
        .seed(1)
        .build()
}
