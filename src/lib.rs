//! Keeps outbound LLM calls under the provider's rate limits *before* the provider refuses them,
//! and as close to the limits as is safe.
//!
//! [`ProactiveRateLimitLayer`] is a tower layer. It holds each request in `poll_ready` until it may
//! be sent, then reads what it cost from the response on its way to the caller (JSON or SSE) and
//! settles the budget. Everybody in a process who draws on the same budget shares it.
//!
//! ```no_run
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use proactive_rate_limit::{ProactiveRateLimitLayer, Tier};
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), proactive_rate_limit::BoxError> {
//! # let hyper_client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! # let request = Request::post("http://localhost/v1/chat/completions").body(Full::default())?;
//! let tier = Tier::lookup("openai", "gpt-4o-mini", "tier1")?;
//! let mut client = ServiceBuilder::new()
//!     .layer(ProactiveRateLimitLayer::new(tier))
//!     .service(hyper_client);
//!
//! let response = client.ready().await?.call(request).await?;
//! let answer = response.into_body().collect().await?; // its usage settles the budget
//! # drop(answer);
//! # Ok(())
//! # }
//! ```
//!
//! Any `Service<http::Request<B>, Response = http::Response<R>> + Clone` can be the inner one.
//!
//! # What is promised
//!
//! For a limit of N units per window W with margin m, the server never counts more than N − m of
//! this process's units in *any* interval of length W, as long as it counts a request once, at no
//! more than was reserved for it, within [`max_skew`](ProactiveRateLimitLayer::max_skew) of its
//! dispatch and not after its response head. [`schedule::Proactive`] says why that holds, and the
//! test `envelope` checks it against an exact oracle, with each assumption removed in turn.
//!
//! It does not cover a server that charges more than was reserved, redirects or retries *below*
//! this layer, other processes on the same key, and limits on requests in flight (best effort: a
//! client sees a request end before or after its server does).
//!
//! # What a request costs
//!
//! Before it is sent, a cost is reserved. A [`TokenEstimate`] in the request's extensions is taken
//! as it is; otherwise the body is looked into, if it is one that can be without consuming it
//! (`Full<Bytes>`, `String`), for its cap on the answer and the size of its prompt; otherwise, as
//! with a boxed body, only its length counts. A request without a cap on its answer, or whose cap
//! cannot be seen, is taken to need [`assumed_output_tokens`](Tier::assumed_output_tokens); one that is
//! seen to have none, at least what its provider
//! [assumes itself](provider::Provider::uncapped_output). When the response ends, its usage replaces the
//! reserve, as far as the provider gives back what was not used: see [`Charge`].
//!
//! # Where it belongs in a stack
//!
//! - *Inside* retries and hedging: each attempt is a request of its own to the provider. The feature
//!   `retry` has a policy that knows which refusals can be waited out.
//! - *Outside* decompression: it reads the body, and does not see through an encoding.
//! - *Inside* whatever follows redirects, if each hop counts at the provider; outside, if only the
//!   first does: what is sent below this layer is not counted.
//! - A `Timeout` layer around it does not cover the wait, which happens in `poll_ready`: that is
//!   what [`max_wait`](ProactiveRateLimitLayer::max_wait) is for.
//!
//! ```
//! # use std::time::Duration;
//! # use proactive_rate_limit::retry::RetryPolicy;
//! # use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, Tier};
//! # use tower::{ServiceBuilder, service_fn};
//! # type Body = http_body_util::Full<bytes::Bytes>;
//! # fn main() -> Result<(), proactive_rate_limit::TierError> {
//! # let tier = Tier::builder("openai", "gpt-4o").limit(Limit::requests(500).per_minute()).build()?;
//! # let client = service_fn(|_: http::Request<Body>| async {
//! #     Ok::<_, BoxError>(http::Response::new(Body::default()))
//! # });
//! let stack = ServiceBuilder::new()
//!     .retry(RetryPolicy::new()) // of the feature `retry`
//!     .layer(ProactiveRateLimitLayer::new(tier).max_wait(Duration::from_secs(30)))
//!     .service(client);
//! # fn is_service<S: tower::Service<http::Request<Body>>>(_: S) {}
//! # is_service(stack);
//! # Ok(())
//! # }
//! ```
//!
//! # Time-outs
//!
//! - The wait for an admission ends after [`max_wait`](ProactiveRateLimitLayer::max_wait), and by a
//!   [`Deadline`] in the extensions of a request.
//! - A `Timeout` layer around this one begins when the request is called: it covers the answer's head,
//!   and neither the wait in `poll_ready` nor the body.
//! - A time-out around all of it, from the wait to the last byte:
//!
//! ```
//! # use std::time::Duration;
//! # use http_body_util::BodyExt;
//! # use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, Tier};
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # type Body = http_body_util::Full<bytes::Bytes>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let tier = Tier::builder("openai", "m").limit(Limit::requests(500).per_minute()).build()?;
//! # let client = ServiceBuilder::new().layer(ProactiveRateLimitLayer::new(tier)).service(service_fn(
//! #     async |_: http::Request<Body>| Ok::<_, BoxError>(http::Response::new(Body::default())),
//! # ));
//! # let request = http::Request::post("/v1/responses").body(Body::default())?;
//! let answer = tokio::time::timeout(Duration::from_secs(60), async {
//!     let response = client.clone().oneshot(request).await?;
//!     response.into_body().collect().await.map_err(BoxError::from)
//! });
//! let bytes = answer.await??.to_bytes();
//! # let _ = bytes;
//! # Ok(())
//! # }
//! ```
//!
//! What is cut short while it waits costs nothing. What was sent stays counted at its full reserve, for
//! the provider may go on with it.
//!
//! # When one model is not enough
//!
//! [`fallback`] sends a request by another model when the first cannot admit it in time, or fails;
//! [`per_model`] keeps the budgets of many models apart under one client.
//!
//! # Without tower
//!
//! [`RateLimitTracker`] and [`Pool`] are the same budget for programs that call a provider some
//! other way: `acquire`, send, `settle`.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `async-openai` | `async_openai`: limits below async-openai's client, for each of its attempts |
//! | `catalogue-file` | [`tier::catalogue`]s of your own are read from TOML |
//! | `decompression` | usage is read from responses in gzip, deflate, br and zstd, of a decoded copy |
//! | `event-stream` | usage is read from the event streams of AWS Bedrock |
//! | `ietf-headers` | the IETF's structured `RateLimit` headers are read, of whatever provider |
//! | `images` | the sizes of images inlined in requests are read, for their price in tokens |
//! | `reqwest` | `reqwest`: limits around reqwest's client, whose requests and responses stay its own |
//! | `reqwest-middleware` | `reqwest_middleware`: limits as a middleware among those of `reqwest-middleware`'s client |
//! | `retry` | `retry`: a policy for tower's `Retry`, for refusals that waiting can fix |
//! | `serde` | tiers and limits can be (de)serialised, statistics serialised |
//! | `simulator` | `simulator`: a provider on loopback that enforces limits and reports, to test with |
//! | `tokenizer` | [`OpenAiTokenizer`](provider::OpenAiTokenizer): the tokens of prompts, counted before they are sent |
//! | `tracing` | the log says, once for each pool, that usage is missing or cannot be read |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "async-openai")]
#[cfg_attr(docsrs, doc(cfg(feature = "async-openai")))]
pub mod async_openai;
mod body;
mod deadline;
mod error;
pub mod fallback;
mod future;
mod layer;
mod limiter;
mod peek;
pub mod per_model;
pub mod provider;
mod refused;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub mod reqwest;
#[cfg(feature = "reqwest-middleware")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest-middleware")))]
pub mod reqwest_middleware;
#[cfg(feature = "retry")]
#[cfg_attr(docsrs, doc(cfg(feature = "retry")))]
pub mod retry;
pub mod schedule;
mod service;
#[cfg(feature = "simulator")]
#[cfg_attr(docsrs, doc(cfg(feature = "simulator")))]
pub mod simulator;
pub mod tier;
pub mod tracker;
pub mod usage;

#[doc(inline)]
pub use self::{
    body::ResponseBody,
    deadline::Deadline,
    error::{
        BoxError, ConflictingPool, Exhausted, LineFull, RateLimitError, RequestTooLarge,
        UnknownModel, WaitTooLong,
    },
    future::ResponseFuture,
    layer::ProactiveRateLimitLayer,
    provider::{Refusal, RefusalCause, TokenEstimate},
    schedule::{Anchor, Cost, OutputReserve, SchedulingStrategy, Spacing},
    service::ProactiveRateLimit,
    tier::{Charge, Limit, LimitAmount, Margin, Meter, Tier, TierBuilder, TierError, Zone},
    tracker::{Availability, Capacity, LimitStats, Permit, Pool, RateLimitTracker, Stats},
};
