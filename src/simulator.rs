//! A provider to test against: enforces its limits exactly and reports what it saw.
//!
//! A [`Simulator`] answers OpenAI-, Anthropic- and Gemini-shaped requests with filler text, in JSON
//! or as a stream of server-sent events, refuses what exceeds its limits as a provider does, and
//! keeps a log of everything that arrived. Its limiters are exact and written apart from the rest of
//! this crate, so that they can serve as the judge of it. Use it to test your own client too.
//!
//! [`Simulator::builder`] makes a plain one, whose limits are exact sliding logs;
//! [`Simulator::twin`] one that enforces, charges, tells and refuses as a certain provider does: see
//! [`Twin`].
//!
//! It can be reached in three ways, all with the same behaviour and the same [`Report`]:
//!
//! - **in process**, as a `tower` service ([`Simulator`] implements `Service`) or by
//!   [`Simulator::handle`]: no sockets, the fastest, and usable on a paused clock;
//! - **over any byte stream**, by [`Simulator::serve_connection`]: with `tokio::io::duplex` a whole
//!   HTTP stack runs on a paused clock;
//! - **over loopback**, by [`Simulator::spawn`]: a real HTTP/1.1 server on `127.0.0.1`.
//!
//! # Example
//!
//! The sixth of six requests is refused, on tokio's paused clock:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use proactive_rate_limit::simulator::Simulator;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), http::Error> {
//! let provider = Simulator::builder()
//!     .requests(5)
//!     .window(Duration::from_secs(10))
//!     .build();
//!
//! for attempt in 1..=6 {
//!     let request = http::Request::post("/v1/chat/completions").body(Full::new(Bytes::from(
//!         r#"{"model": "gpt-test", "messages": [{"role": "user", "content": "Hello!"}]}"#,
//!     )))?;
//!     let response = provider.handle(request).await;
//!     assert_eq!(response.status().as_u16(), if attempt <= 5 { 200 } else { 429 });
//! }
//!
//! let report = provider.report();
//! assert_eq!((report.answered, report.throttled), (5, 1));
//! assert_eq!(report.requests.worst_window, 5);
//! # Ok(())
//! # }
//! ```
//!
//! Over loopback, with latencies and a limit on tokens that gives nothing back:
//!
//! ```
//! use std::time::Duration;
//!
//! use proactive_rate_limit::{Charge, simulator::Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let server = Simulator::builder()
//!     .requests(500)
//!     .tokens(30_000)
//!     .charge(Charge::Reserved)
//!     .arrival_latency(Duration::ZERO..=Duration::from_millis(100))
//!     .answer_latency(Duration::from_millis(50)..=Duration::from_millis(400))
//!     .seed(7)
//!     .build()
//!     .spawn()
//!     .await?;
//!
//! println!("send your requests to {}", server.url());
//! println!("{}", server.report());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A twin of Anthropic whose account somebody else uses, too, and whose limit is lowered while it
//! runs:
//!
//! ```
//! use proactive_rate_limit::Limit;
//! use proactive_rate_limit::simulator::{OtherTraffic, Simulator, Twin};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let anthropic = Simulator::twin(Twin::Anthropic)
//!     .requests(50)
//!     .limit(Limit::input_tokens(30_000).per_minute())
//!     .limit(Limit::output_tokens(8_000).per_minute())
//!     .others(OtherTraffic::share(0.3))
//!     .build();
//!
//! tokio::time::advance(std::time::Duration::from_secs(60)).await;
//! anthropic.set_limit(&Limit::requests(20).per_minute());
//!
//! let report = anthropic.report();
//! assert_eq!(report.requests.limit, Some(20));
//! assert_eq!(report.requests.others_counted, 15);
//! # }
//! ```
//!
//! # Life of a request
//!
//! 1. Its head is received: it gets the next index, and everything random about it is drawn from
//!    the seed and that index alone, so concurrency does not reorder draws.
//! 2. Its body is read, up to 16 MiB. If it breaks off, the request never arrives.
//! 3. It travels for its *arrival latency*. A client that gives up meanwhile does not call it back:
//!    it arrives and counts all the same.
//! 4. It **arrives**: every limit looks at what was counted, and if there is one that it does not
//!    fit into, it is refused. A sliding log looks at `(now - window, now]`, so an entry counted at
//!    `t` is gone at exactly `t + window`. The rate-limit headers describe this moment.
//! 5. A refusal or a malformed request is answered at once, anything else after its *answer
//!    latency*; a stream then sends a token after each *stream latency*. What is counted as it is
//!    generated is counted then, and a limit on what is in flight is freed when the answer is
//!    complete.
//!
//! The times of the log are the moments drawn, not those at which a timer happened to fire. The
//! generation of an answer goes on when its client leaves, as it does at many providers.
//!
//! # What is spoken
//!
//! | endpoint | JSON | stream | cap of the answer |
//! |---|---|---|---|
//! | `POST /v1/chat/completions` | yes | ends with `data: [DONE]`, usage only with `stream_options.include_usage` | `max_completion_tokens` or `max_tokens` |
//! | `POST /v1/responses` | yes | ends with `response.completed`, or `response.incomplete` when cut by its cap | `max_output_tokens` |
//! | `POST /v1/embeddings` | yes | no | no output |
//! | `POST /v1/messages` | yes | ends with `message_stop` | `max_tokens`, required |
//!
//! | `POST /v1beta/models/{model}:generateContent` | yes | no | `generationConfig.maxOutputTokens` |
//! | `POST /v1beta/models/{model}:streamGenerateContent` | no | as with `alt=sse`; usage in every event | the same |
//!
//! The first four are also found under `/`, `/openai/v1/`, `/v1beta/openai/` and
//! `/openai/deployments/{model}/`.
//!
//! Anything else is a 404, a wrong method a 405, an unreadable body a 400, a body of more than
//! 16 MiB a 413. Each of these counts as a request, without tokens.
//!
//! A prompt has as many **tokens** as a quarter of the characters of its contents, rounded up; ids
//! in the input of an embedding are a token each; images and tools cost nothing. A token of an
//! answer is four characters long, so an answer that is sent back costs what it cost before.
//!
//! Every answer carries a `date`, in the time of the simulator's own
//! [wall clock](SimulatorBuilder::starts_at). Without a twin, it carries
//! `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` for each of these that is limited, where
//! the reset is the time until the limit is wholly free. A refusal that waiting can cure adds
//! `retry-after` (seconds) and `retry-after-ms`, both rounded up.

mod account;
mod behaviour;
mod body;
mod builder;
mod clock;
mod endpoint;
mod enforcement;
mod exchange;
pub mod faults;
mod gate;
mod ledger;
mod limiter;
mod others;
mod provider;
mod rate_headers;
mod report;
mod server;
mod tally;
mod twin;

pub use self::{
    account::Account,
    body::SimulatorBody,
    builder::{ChargedAt, SimulatorBuilder},
    enforcement::{Enforcement, Midnight},
    others::OtherTraffic,
    provider::{Simulator, SimulatorFuture},
    report::{Arrival, Delivery, MeterReport, Report},
    server::SimulatorServer,
    twin::Twin,
};
