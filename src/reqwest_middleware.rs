//! Limits as a middleware among those of `reqwest-middleware`'s client.
//!
//! ```no_run
//! use proactive_rate_limit::reqwest_middleware::RateLimitMiddleware;
//! use proactive_rate_limit::{ProactiveRateLimitLayer, Tier};
//! use reqwest_middleware::ClientBuilder;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), proactive_rate_limit::BoxError> {
//! # let body = serde_json::json!({});
//! let limits = ProactiveRateLimitLayer::new(Tier::lookup("openai", "gpt-4o-mini", "tier1")?);
//! let client = ClientBuilder::new(reqwest::Client::new())
//!     .with(RateLimitMiddleware::new(limits))
//!     .build();
//!
//! let request = client.post("https://api.openai.com/v1/chat/completions").json(&body);
//! println!("{}", request.send().await?.text().await?); // its usage settles the budget
//! # Ok(())
//! # }
//! ```
//!
//! # Where it belongs
//!
//! *After* whatever retries, such as `reqwest-retry`: the client runs its middlewares in the order in
//! which they were added, so each attempt is then admitted, and counts. It waits out what the
//! provider's `Retry-After` asks for, too, which `reqwest-retry` does not look at. Added *before* it, the
//! middleware sees one request however many are sent, and the budget is wrong. What is added after it
//! sends for one admission.
//!
//! What reqwest's own client does below all of them is the same as
//! [without middlewares](crate::reqwest#what-reqwest-does-by-itself), and so are its time-outs.
//!
//! # What a request costs
//!
//! As with [reqwest's client](crate::reqwest#what-a-request-costs). A
//! [`TokenEstimate`](crate::TokenEstimate) or a [`RequestModel`](crate::per_model::RequestModel) can be
//! given by [`with_extension`](::reqwest_middleware::RequestBuilder::with_extension).
//!
//! # Errors
//!
//! A request that is not admitted ends in [`Error::Middleware`](::reqwest_middleware::Error::Middleware)
//! with a [`RateLimitError`](crate::RateLimitError), which `reqwest-retry` does not retry:
//!
//! ```
//! use proactive_rate_limit::RateLimitError;
//! use reqwest_middleware::Error;
//!
//! fn was_refused_here(error: &Error) -> bool {
//!     matches!(error, Error::Middleware(error) if error.is::<RateLimitError>())
//! }
//! # let _ = was_refused_here;
//! ```
//!
//! Errors of the client and of other middlewares pass as they are.
//!
//! # Cancel safety
//!
//! As of [`ResponseFuture`](crate::ResponseFuture): dropped before the request was sent, it costs
//! nothing; dropped after, or a response that is dropped before its end, stays counted at its full
//! reserve for as long as the provider may charge it.

mod chain;
mod middleware;

pub use self::middleware::RateLimitMiddleware;
