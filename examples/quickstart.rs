//! The same work twice against a simulated provider: through a plain client, and through the layer.
//!
//! ```text
//! cargo run --example quickstart
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use proactive_rate_limit::simulator::{Report, Simulator, SimulatorServer};
use proactive_rate_limit::{BoxError, Charge, Limit, ProactiveRateLimitLayer, Tier};
use tower::{Service, ServiceBuilder, ServiceExt};

/// A provider's minute, shortened so that you need not wait for it.
const MINUTE: Duration = Duration::from_secs(4);
const REQUESTS_PER_MINUTE: u64 = 100;
const TOKENS_PER_MINUTE: u64 = 12_000;

const JOBS: usize = 300;
const WORKERS: usize = 32;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!(
        "{JOBS} requests to a provider that allows {REQUESTS_PER_MINUTE} requests and \
         {TOKENS_PER_MINUTE} tokens per minute.\n\
         For this demonstration a minute has {} seconds.\n",
        MINUTE.as_secs()
    );

    // A plain client sends as fast as it can.
    let server = provider().await?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let plain = run("plain client", &server, client).await?;

    // The same client, with the layer around it.
    let server = provider().await?;
    let tier = Tier::builder("openai", "gpt-4o-mini")
        .limit(Limit::requests(REQUESTS_PER_MINUTE).per(MINUTE))
        .limit(Limit::tokens(TOKENS_PER_MINUTE).per(MINUTE))
        .charge(Charge::Actual)
        .build()?;
    let layer = ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100));
    let client = ServiceBuilder::new()
        .layer(layer.clone())
        .service(Client::builder(TokioExecutor::new()).build_http());
    let limited = run("with the layer", &server, client).await?;

    print_side_by_side(&plain, &limited);
    println!("\nThe worst minute of requests counts what was sent, refused or not.");
    println!("\nThe layer's own account:\n{}", layer.stats()?);
    Ok(())
}

/// A server on loopback that enforces the limits exactly.
async fn provider() -> Result<SimulatorServer, BoxError> {
    let server = Simulator::builder()
        .requests(REQUESTS_PER_MINUTE)
        .tokens(TOKENS_PER_MINUTE)
        .window(MINUTE)
        .charge(Charge::Actual)
        .arrival_latency(Duration::ZERO..=Duration::from_millis(20))
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .output_tokens(20..=120)
        .seed(1)
        .build()
        .spawn()
        .await?;
    Ok(server)
}

/// Sends every job once, from a few workers, through any client.
async fn run<S, B>(
    name: &'static str,
    server: &SimulatorServer,
    client: S,
) -> Result<Report, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Error: Into<BoxError>, Data: Send> + Send,
{
    let progress =
        ProgressBar::new(JOBS as u64)
            .with_message(name)
            .with_style(ProgressStyle::with_template(
                "{msg:>15} {bar:40} {pos}/{len} in {elapsed}",
            )?);
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (mut client, progress, next) = (client.clone(), progress.clone(), next.clone());
            let url = format!("{}/v1/chat/completions", server.url());
            tokio::spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < JOBS {
                    ask(&mut client, &url, "Say something kind.").await?;
                    progress.inc(1);
                }
                Ok::<_, BoxError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    progress.finish();
    Ok(server.report())
}

/// One request, and its answer read to the end.
async fn ask<S, B>(client: &mut S, url: &str, question: &str) -> Result<StatusCode, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let body = serde_json::json!({
        "model": "gpt-4o-mini",
        "max_tokens": 120,
        "messages": [{ "role": "user", "content": question }],
    });
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))?;
    let client = client.ready().await.map_err(Into::into)?;
    let response = client.call(request).await.map_err(Into::into)?;
    let status = response.status();
    response.into_body().collect().await.map_err(Into::into)?;
    Ok(status)
}

fn print_side_by_side(plain: &Report, limited: &Report) {
    println!(
        "\n{:<28} {:>16} {:>16}",
        "", "plain client", "with the layer"
    );
    let row = |name: &str, value: &dyn Fn(&Report) -> String| {
        println!("{name:<28} {:>16} {:>16}", value(plain), value(limited));
    };
    row("answered", &|report| {
        format!("{} of {JOBS}", report.answered)
    });
    row("refused with 429", &|report| report.throttled.to_string());
    row("worst minute, requests", &|report| {
        let offered = report.worst_offered_requests;
        format!("{offered} of {REQUESTS_PER_MINUTE}")
    });
    row("worst minute, tokens", &|report| {
        format!("{} of {TOKENS_PER_MINUTE}", report.tokens.worst_window)
    });
    row("share of the limit used", &|report| {
        let share = report.requests.share_used.unwrap_or(0.0);
        format!("{:.1} %", share * 100.0)
    });
    row("time", &|report| format!("{:.1?}", report.duration));
}
