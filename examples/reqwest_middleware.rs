//! The limits among the middlewares of reqwest-middleware's client, after one that retries. Without a URL
//! it talks to a simulated provider that fails now and then.
//!
//! ```text
//! cargo run --example reqwest_middleware
//! cargo run --example reqwest_middleware -- http://127.0.0.1:8000/v1
//! ```
//!
//! Eight workers send forty requests, half of them for a stream, as fast as the limits let them. What
//! fails is sent again, each attempt admitted anew.

use std::time::{Duration, Instant};

use proactive_rate_limit::reqwest_middleware::RateLimitMiddleware;
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{BoxError, Charge, Limit, ProactiveRateLimitLayer, Tier};
use reqwest::Client;
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;

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

    // These lines are all of it. What comes after the limits is not counted: retries come before.
    let retries = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(50), Duration::from_secs(1))
        .build_with_max_retries(5);
    let client = ClientBuilder::new(Client::new())
        .with(RetryTransientMiddleware::new_with_policy(retries))
        .with(RateLimitMiddleware::new(limits.clone()))
        .build();

    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (client, key) = (client.clone(), key.clone());
            let url = format!("{base_url}/chat/completions");
            tokio::spawn(async move {
                for job in (worker..JOBS).step_by(WORKERS) {
                    let request = client.post(&url).bearer_auth(&key).json(&ask(job % 2 == 0));
                    let response = request.send().await?;
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
        let stats = limits.stats()?;
        let expected = (JOBS as u64, 0, stats.total_requests);
        if (report.answered, report.throttled, report.arrived) != expected {
            return Err("not every attempt was admitted".into());
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

/// A provider that enforces the limits exactly, and fails now and then.
fn provider() -> Simulator {
    Simulator::builder()
        .requests(REQUESTS_PER_MINUTE)
        .tokens(TOKENS_PER_MINUTE)
        .window(MINUTE)
        .charge(Charge::Actual)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(20))
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .output_tokens(20..=120)
        .failure_rate(0.1)
        .seed(1)
        .build()
}
