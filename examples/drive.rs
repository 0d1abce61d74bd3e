//! Drives any OpenAI-compatible endpoint at full safe speed, and says what came of it.
//!
//! ```text
//! cargo run --release --example drive -- --base-url http://127.0.0.1:8000/v1 --model gpt-4o-mini \
//!     --requests 1600 --concurrency 64 --rpm 600 --tpm 60000 --window 10 --charge actual \
//!     --prompt-tokens 20..200 --max-tokens 200 --stream
//! ```
//!
//! The last line of its output is one JSON object. A key is taken from `OPENAI_API_KEY` if set.

use std::error::Error;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use proactive_rate_limit::provider;
use proactive_rate_limit::usage::{Reading, UsageReader};
use proactive_rate_limit::{
    BoxError, Charge, Limit, ProactiveRateLimitLayer, RateLimitError, ResponseBody, Tier,
};
use serde_json::json;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// Drive an OpenAI-compatible endpoint at full safe speed.
#[derive(Parser)]
struct Options {
    /// Where the API is, up to and including its version; `/v1` is added to a bare host.
    #[arg(long, value_name = "URL", value_parser = base_url)]
    base_url: Uri,
    #[arg(long, value_name = "M")]
    model: String,
    /// How many requests to send.
    #[arg(long, value_name = "N", default_value_t = 100)]
    requests: usize,
    /// How many to have under way or waiting at a time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    concurrency: usize,
    /// Ask for streamed answers.
    #[arg(long)]
    stream: bool,
    /// Requests per window. Without it there is no such limit.
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens per window. Without it there is no such limit.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// The length of the "minute" that both are counted in.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    window: Duration,
    /// The longest a request may wait for its admission.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    max_wait: Duration,
    /// The longest from sending a request until the server has counted it.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    max_skew: u64,
    /// What the server counts in the end: the tokens used, or those asked for.
    #[arg(long, value_enum, default_value_t = ChargeOption::Reserved)]
    charge: ChargeOption,
    /// About how long the prompts are: `N` or `A..B`.
    #[arg(long, value_name = "A..B", default_value = "50..400", value_parser = range)]
    prompt_tokens: RangeInclusive<usize>,
    /// The most an answer may have.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_tokens: u64,
    /// The longest to wait for the head of an answer, and then for its body.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    timeout: Duration,
    /// What the prompts are made from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ChargeOption {
    Actual,
    Reserved,
}

fn base_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme_str() {
        Some("http" | "https") => Ok(url),
        _ => Err("it has to begin with http:// or https://".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| {
        text.trim()
            .parse()
            .map_err(|error| format!("{text}: {error}"))
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last.trim_start_matches('='))?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("{first} is more than {last}"));
    }
    Ok(first..=last)
}

type Endpoint =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<ResponseBody<Incoming>>, BoxError>;

/// What came of the requests so far.
#[derive(Default)]
struct Tally {
    ok: u64,
    throttled: u64,
    failed: u64,
    wait_timeouts: u64,
    input_tokens: u64,
    output_tokens: u64,
    latencies: Vec<Duration>,
    first_failure: Option<String>,
}

enum Outcome {
    Answered {
        input: u64,
        output: u64,
        took: Duration,
    },
    Throttled,
    WaitTimeout,
    Failed(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    match drive(Arc::new(Options::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn drive(options: Arc<Options>) -> Result<(), BoxError> {
    let mut tier = Tier::builder("openai", &options.model).charge(match options.charge {
        ChargeOption::Actual => Charge::Actual,
        ChargeOption::Reserved => Charge::Reserved,
    });
    if let Some(rpm) = options.rpm {
        tier = tier.limit(Limit::requests(rpm).per(options.window));
    }
    if let Some(tpm) = options.tpm {
        tier = tier.limit(Limit::tokens(tpm).per(options.window));
    }
    let layer = ProactiveRateLimitLayer::new(tier.build()?)
        .max_wait(options.max_wait)
        .max_skew(Duration::from_millis(options.max_skew));

    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    let http = Client::builder(TokioExecutor::new()).build(connector);
    let patience = options.timeout;
    let client: Endpoint = ServiceBuilder::new()
        .boxed_clone_sync()
        .layer(layer.clone())
        .service(service_fn(move |request: Request<Full<Bytes>>| {
            let http = http.clone();
            async move {
                // Here the request has been admitted: what it takes from now on is the server's.
                let sent = Instant::now();
                let mut response = timeout(patience, http.request(request)).await??;
                response.extensions_mut().insert(sent);
                Ok::<_, BoxError>(response)
            }
        }));

    let progress = ProgressBar::new(options.requests as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} in {elapsed}, {eta} to go")?,
    );
    let next = Arc::new(AtomicUsize::new(0));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let start = Instant::now();
    let workers: Vec<_> = (0..options.concurrency.clamp(1, options.requests.max(1)))
        .map(|_| {
            let (options, next, tally) = (options.clone(), next.clone(), tally.clone());
            let (mut client, progress) = (client.clone(), progress.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.requests {
                        return;
                    }
                    let outcome = send(&mut client, &options, number).await;
                    tally.lock().expect("no panic under this lock").add(outcome);
                    progress.inc(1);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await?;
    }
    let elapsed = start.elapsed();
    progress.finish_and_clear();

    let mut tally = tally.lock().expect("no panic under this lock");
    tally.latencies.sort_unstable();
    if let Some(failure) = &tally.first_failure {
        eprintln!("first failure: {failure}");
    }
    let stats = layer.stats()?;
    eprintln!("{stats}");
    let report = json!({
        "requests": options.requests,
        "ok": tally.ok,
        "throttled": tally.throttled,
        "failed": tally.failed,
        "wait_timeouts": tally.wait_timeouts,
        "seconds": elapsed.as_secs_f64(),
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "p50_ms": tally.percentile(50),
        "p99_ms": tally.percentile(99),
        "stats": stats,
    });
    println!("{report}");
    Ok(())
}

/// Sends one request and reads its answer to the end.
async fn send(client: &mut Endpoint, options: &Options, number: usize) -> Outcome {
    let exchange = async {
        let request = chat(options, number)?;
        let response = client.ready().await?.call(request).await?;
        let status = response.status();
        let sent = response.extensions().get().copied();
        let paths = provider::by_name("openai").usage_paths();
        let mut usage = UsageReader::new(paths, response.headers());
        let mut body = response.into_body();
        let read = async {
            while let Some(frame) = body.frame().await {
                if let Some(data) = frame?.data_ref() {
                    usage.feed(data);
                }
            }
            Ok::<_, BoxError>(())
        };
        timeout(options.timeout, read).await??;
        let took = sent.map_or(Duration::ZERO, |sent: Instant| sent.elapsed());
        Ok::<_, BoxError>((status, usage.finish(), took))
    };
    match exchange.await {
        Ok((StatusCode::TOO_MANY_REQUESTS, ..)) => Outcome::Throttled,
        Ok((status, ..)) if !status.is_success() => Outcome::Failed(status.to_string()),
        Ok((_, reading, took)) => {
            let (input, output) = match reading {
                Reading::Usage(usage) => (usage.input_tokens, usage.output_tokens),
                _ => (None, None),
            };
            Outcome::Answered {
                input: input.unwrap_or(0),
                output: output.unwrap_or(0),
                took,
            }
        }
        Err(error) => Outcome::from_error(&error),
    }
}

fn chat(options: &Options, number: usize) -> Result<Request<Full<Bytes>>, BoxError> {
    let mut random = fastrand::Rng::with_seed(options.seed.wrapping_add(number as u64));
    let mut body = json!({
        "model": options.model,
        "max_tokens": options.max_tokens,
        "messages": [{
            "role": "user",
            "content": prompt(&mut random, options.prompt_tokens.clone()),
        }],
    });
    if options.stream {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut request = Request::post(endpoint(&options.base_url)?)
        .header(header::CONTENT_TYPE, "application/json");
    if let Ok(key) = std::env::var("OPENAI_API_KEY") {
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    Ok(request.body(Full::from(body.to_string()))?)
}

/// The base URL's path with `/chat/completions` behind it; its query stays.
fn endpoint(base: &Uri) -> Result<Uri, http::Error> {
    let version = match base.path().trim_end_matches('/') {
        "" => "/v1",
        path => path,
    };
    let query = base
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(format!("{version}/chat/completions{query}").try_into()?);
    Ok(Uri::from_parts(parts)?)
}

/// Common words of three letters: each is one token, and four characters with its space.
fn prompt(random: &mut fastrand::Rng, tokens: RangeInclusive<usize>) -> String {
    const WORDS: [&str; 24] = [
        "the", "and", "for", "you", "was", "are", "but", "had", "one", "our", "out", "day", "get",
        "has", "how", "man", "new", "now", "old", "see", "two", "way", "who", "did",
    ];
    let words: Vec<&str> = (0..random.usize(tokens))
        .map(|_| WORDS[random.usize(..WORDS.len())])
        .collect();
    words.join(" ")
}

impl Outcome {
    fn from_error(error: &BoxError) -> Self {
        match error.downcast_ref() {
            Some(RateLimitError::WaitTooLong(_)) => Self::WaitTimeout,
            _ => Self::Failed(chain(&**error)),
        }
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered {
                input,
                output,
                took,
            } => {
                self.ok += 1;
                self.input_tokens += input;
                self.output_tokens += output;
                self.latencies.push(took);
            }
            Outcome::Throttled => self.throttled += 1,
            Outcome::WaitTimeout => self.wait_timeouts += 1,
            Outcome::Failed(reason) => {
                self.failed += 1;
                self.first_failure.get_or_insert(reason);
            }
        }
    }

    /// From the sending of an answered request to the end of its body; sorted before.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies
            .get(rank - 1)
            .map(|latency| latency.as_secs_f64() * 1000.0)
    }
}
