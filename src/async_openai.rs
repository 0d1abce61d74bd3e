//! Limits below async-openai's client, for each of its attempts.
//!
//! The client takes a tower service to send its requests with, and hands it factories of requests, so
//! that a retry can make a request anew. [`AsyncOpenAiLayer`] makes such a service of reqwest's client
//! and a layer over `http`'s requests:
//!
//! ```no_run
//! use async_openai::Client;
//! use async_openai::middleware::retry::OpenAIRetryLayer;
//! use proactive_rate_limit::async_openai::AsyncOpenAiLayer;
//! use proactive_rate_limit::{ProactiveRateLimitLayer, Tier};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), proactive_rate_limit::BoxError> {
//! let limits = ProactiveRateLimitLayer::new(Tier::lookup("openai", "gpt-4o-mini", "tier1")?);
//! let http = ServiceBuilder::new()
//!     .layer(OpenAIRetryLayer::default()) // each attempt is admitted anew
//!     .layer(AsyncOpenAiLayer::new(limits))
//!     .service(reqwest::Client::new());
//! let client = Client::new().with_http_service(http);
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! A [`PerModelRateLimitLayer`](crate::per_model::PerModelRateLimitLayer) can be inside of it as well, and
//! is what one client for many models wants.
//!
//! # Retries
//!
//! The client retries by itself only as long as it sends with its own service.
//! [`with_http_service`](::async_openai::Client::with_http_service) replaces that, so without a
//! retry layer nothing is retried. Put one around this layer, as above, and not below it.
//! What reqwest's client does below is said [there](crate::reqwest#what-reqwest-does-by-itself).
//!
//! # Streams
//!
//! OpenAI says what a stream used only if it is asked to: set
//! `stream_options: ChatCompletionStreamOptions { include_usage: Some(true), .. }` in the request.
//! Without, a stream counts at its full reserve. Requests to `/responses` need nothing of the kind.
//!
//! The client reads a stream in a task of its own, so a stream that is dropped, or read to its end, is
//! settled a moment later.
//!
//! # Errors
//!
//! A request that is not admitted ends in `OpenAIError::Boxed` with a
//! [`RateLimitError`](crate::RateLimitError). Errors of reqwest are `OpenAIError::Reqwest`, as without
//! the layer.
//!
//! ```
//! use async_openai::error::OpenAIError;
//! use proactive_rate_limit::RateLimitError;
//!
//! fn was_refused_here(error: &OpenAIError) -> bool {
//!     matches!(error, OpenAIError::Boxed(error) if error.is::<RateLimitError>())
//! }
//! # let _ = was_refused_here;
//! ```
//!
//! # Cancel safety
//!
//! As of [`ResponseFuture`](crate::ResponseFuture): dropped before the request was sent, it costs
//! nothing; dropped after, or a stream that is dropped before its end, stays counted at its full
//! reserve for as long as the provider may charge it.

mod layer;
mod service;

pub use self::layer::AsyncOpenAiLayer;
pub use self::service::{AsyncOpenAi, AsyncOpenAiFuture};
