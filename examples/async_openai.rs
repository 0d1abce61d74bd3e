//! async-openai's client under a provider's limits. Without a URL it talks to a simulated provider that
//! fails now and then.
//!
//! ```text
//! cargo run --example async_openai
//! cargo run --example async_openai -- http://127.0.0.1:8000/v1
//! ```
//!
//! Eight workers ask for forty answers, half of them streamed, as fast as the limits let them. What fails
//! is sent again, each attempt admitted anew.

use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::middleware::retry::OpenAIRetryLayer;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use futures_util::TryStreamExt;
use proactive_rate_limit::async_openai::AsyncOpenAiLayer;
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::{BoxError, Charge, Limit, ProactiveRateLimitLayer, Tier};
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
    let mut config = OpenAIConfig::new();
    if is_simulated {
        config = config.with_api_base(format!("{}/v1", server.url()));
    } else if let Some(url) = base_url {
        config = config.with_api_base(url);
    }

    let tier = Tier::builder("openai-compatible", "gpt-4o-mini")
        .limit(Limit::requests(REQUESTS_PER_MINUTE).per(MINUTE))
        .limit(Limit::tokens(TOKENS_PER_MINUTE).per(MINUTE))
        .charge(Charge::Actual)
        .build()?;
    let limits = ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100));

    // These lines are all of it. Retries belong around the limits, so that each attempt counts.
    let http = ServiceBuilder::new()
        .layer(OpenAIRetryLayer::new(5))
        .layer(AsyncOpenAiLayer::new(limits.clone()))
        .service(reqwest::Client::new());
    let client = Client::with_config(config).with_http_service(http);

    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let client = client.clone();
            tokio::spawn(async move {
                for job in (worker..JOBS).step_by(WORKERS) {
                    if job % 2 == 0 {
                        client.chat().create(question()).await?;
                    } else {
                        let answer = client.chat().create_stream(streamed_question()).await?;
                        answer.try_collect::<Vec<_>>().await?;
                    }
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

fn question() -> CreateChatCompletionRequest {
    CreateChatCompletionRequest {
        model: "gpt-4o-mini".to_owned(),
        messages: vec![ChatCompletionRequestUserMessage::from("Say something kind.").into()],
        max_completion_tokens: Some(120),
        ..Default::default()
    }
}

/// A stream tells what it used only if it is asked to.
fn streamed_question() -> CreateChatCompletionRequest {
    CreateChatCompletionRequest {
        stream_options: Some(ChatCompletionStreamOptions {
            include_usage: Some(true),
            include_obfuscation: None,
        }),
        ..question()
    }
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
