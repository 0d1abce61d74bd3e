//! A whole client from tower's parts around hyper's: traced, retried, authorised, limited, redirected
//! and decompressed. Without a URL it talks to a simulated provider that is overloaded now and then.
//!
//! ```text
//! cargo run --example hyper_stack
//! cargo run --example hyper_stack -- http://127.0.0.1:8000/v1
//! ```
//!
//! The order matters:
//!
//! | from the outside | because |
//! |---|---|
//! | trace | it sees what the caller does: one request, however many attempts |
//! | retry | each attempt is admitted anew, and counts |
//! | auth header | an attempt may need a fresh one |
//! | **limit** | |
//! | follow-redirect | a gateway's redirects do not count at the provider. Where they do: outside of the limit |
//! | decompression | the limit reads what was used from the body |
//! | client | it sends a request again only if it was never written, which needs no admission |

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use proactive_rate_limit::retry::RetryPolicy;
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::simulator::faults::{FaultKind, Faults, FaultyNetwork};
use proactive_rate_limit::{BoxError, Charge, Limit, ProactiveRateLimitLayer, Tier};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::follow_redirect::policy::{PolicyExt, Standard, clone_body_fn};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

/// A provider's minute, shortened so that you need not wait for it.
const MINUTE: Duration = Duration::from_secs(2);
const REQUESTS_PER_MINUTE: u64 = 30;
const TOKENS_PER_MINUTE: u64 = 6_000;

const JOBS: usize = 40;
const WORKERS: usize = 8;

/// The stack. Everything in it can be left out, and nothing in it knows of the rest.
pub(crate) fn stack(
    authorization: HeaderValue,
    retry: RetryPolicy,
    limits: ProactiveRateLimitLayer,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl Body<Data = Bytes, Error = BoxError> + Send + 'static>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ 'static {
    // Redirects of a POST are followed only with a copy of its body.
    let redirects = Standard::default()
        .and::<_, _, legacy::Error>(clone_body_fn(|body: &Full<Bytes>| Some(body.clone())));
    ServiceBuilder::new()
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
                .on_response(DefaultOnResponse::new().level(Level::INFO)),
        )
        .retry(retry)
        .layer(SetRequestHeaderLayer::overriding(
            header::AUTHORIZATION,
            authorization,
        ))
        .layer(limits)
        .layer(FollowRedirectLayer::with_policy(redirects))
        .layer(DecompressionLayer::new())
        .service(Client::builder(TokioExecutor::new()).build_http())
}

/// Retries what was refused for now, and what never got as far as the provider.
pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy::new().never_sent(|error| {
        let error = error.downcast_ref::<legacy::Error>();
        error.is_some_and(legacy::Error::is_connect)
    })
}

fn bearer(key: &str) -> Result<HeaderValue, BoxError> {
    let mut authorization = HeaderValue::try_from(format!("Bearer {key}"))?;
    authorization.set_sensitive(true); // not in the trace
    Ok(authorization)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_target(false)
        .init();

    let provider = provider();
    let base_url = match std::env::args().nth(1) {
        Some(url) => url,
        None => serve(&provider).await?,
    };
    let key = std::env::var("OPENAI_API_KEY").unwrap_or_else(|_| "none".to_owned());

    let tier = Tier::builder("openai-compatible", "gpt-4o-mini")
        .limit(Limit::requests(REQUESTS_PER_MINUTE).per(MINUTE))
        .limit(Limit::tokens(TOKENS_PER_MINUTE).per(MINUTE))
        .charge(Charge::Actual)
        .build()?;
    let limits = ProactiveRateLimitLayer::new(tier).max_skew(Duration::from_millis(100));
    let client = stack(bearer(&key)?, retry(), limits.clone());

    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (client, url) = (client.clone(), format!("{base_url}/chat/completions"));
            tokio::spawn(async move {
                for job in (worker..JOBS).step_by(WORKERS) {
                    let status = ask(&client, &url, job % 2 == 0).await?;
                    if !status.is_success() {
                        return Err(format!("job {job} was answered with {status}").into());
                    }
                }
                Ok::<_, BoxError>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }

    println!("\nThe layer's account:\n{}", limits.stats()?);
    let (report, faults) = (provider.get_ref().report(), provider.report());
    if report.arrived > 0 {
        println!("\nThe provider's:\n{report}");
        println!("\nWhat went wrong, and was retried:\n{faults}");
    }
    Ok(())
}

/// One request, and its answer read to the end.
async fn ask<S, B>(client: &S, url: &str, stream: bool) -> Result<StatusCode, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError> + Clone,
    B: Body<Error = BoxError>,
{
    let mut body = serde_json::json!({
        "model": "gpt-4o-mini",
        "max_tokens": 120,
        "messages": [{ "role": "user", "content": "Say something kind." }],
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = serde_json::json!({ "include_usage": true });
    }
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))?;
    let response = client.clone().oneshot(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

/// A provider that enforces the limits exactly, and is overloaded now and then all the same.
fn provider() -> FaultyNetwork<Simulator> {
    let simulator = Simulator::builder()
        .requests(REQUESTS_PER_MINUTE)
        .tokens(TOKENS_PER_MINUTE)
        .window(MINUTE)
        .charge(Charge::Actual)
        .answer_latency(Duration::from_millis(20)..=Duration::from_millis(80))
        .output_tokens(20..=120)
        .seed(1)
        .build();
    let faults = Faults::new()
        .inject(FaultKind::Overloaded, 0.1)
        .inject(FaultKind::RetryAfterMillis, 1.0)
        .retry_after(Duration::from_millis(50)..=Duration::from_millis(200))
        .seed(1);
    FaultyNetwork::new(simulator, faults)
}

/// Serves it on loopback for as long as the program runs, and says where.
async fn serve(provider: &FaultyNetwork<Simulator>) -> Result<String, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let provider = provider.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let provider = provider.clone();
            tokio::spawn(async move { provider.serve_http1(stream).await });
        }
    });
    Ok(url)
}
