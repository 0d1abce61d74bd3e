//! Another model when the first one cannot serve, or did not.
//!
//! [`Fallback`] is a tower service over a primary [`Model`] and alternates. Each is a service in a
//! [`ProactiveRateLimitLayer`](crate::ProactiveRateLimitLayer) of its own, so each has a budget that can
//! be asked when it would admit a request, without taking anything.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::Uri;
//! use proactive_rate_limit::fallback::{Fallback, Model, Strategy};
//! # use http::{Request, Response};
//! # use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, Tier};
//! use tower::{Layer, ServiceExt};
//! # use tower::service_fn;
//! # type Body = http_body_util::Full<bytes::Bytes>;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let limit = Limit::requests(500).per_minute();
//! # let large = Tier::builder("openai", "gpt-4o").limit(limit).build()?;
//! # let small = Tier::builder("groq", "llama-3.3-70b-versatile").limit(limit).build()?;
//! # let client = service_fn(async |request: Request<Body>| {
//! #     let throttles = request.uri().host() == Some("api.openai.com");
//! #     let response = Response::builder().status(if throttles { 429 } else { 200 });
//! #     Ok::<_, BoxError>(response.body(Body::default())?)
//! # });
//! # let request = Request::post("https://api.openai.com/v1/chat/completions").body(Body::default())?;
//! let primary = ProactiveRateLimitLayer::new(large).layer(client.clone());
//! let alternate = ProactiveRateLimitLayer::new(small).layer(client);
//! let client = Fallback::new(Model::new(primary))
//!     .alternate(Model::new(alternate).rewrite(|mut request| {
//!         // Its model name in the body, its key, its host.
//!         *request.uri_mut() = Uri::from_static("https://api.groq.com/openai/v1/chat/completions");
//!         request
//!     }))
//!     .patience(Duration::from_secs(2)) // in place of 10 s
//!     .strategy(Strategy::Smart);
//!
//! let response = client.clone().oneshot(request).await?; // that of the alternate
//! # assert_eq!(response.status(), 200);
//! println!("{}", client.stats());
//! # assert_eq!(client.stats().fallback, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Which model is taken
//!
//! 1. A model whose [context window](crate::Tier::context_window) is known to be smaller than what the
//!    request needs is left out: the tokens of its text and its cap on the answer. These are as counted by
//!    the layer's [`Tokenizer`](crate::provider::Tokenizer), as a
//!    [`TokenEstimate`](crate::TokenEstimate) says, or else estimated as a quarter of the text's bytes;
//!    images and files are not counted. If that leaves nobody, the request fails with
//!    [`ContextExceeded`].
//! 2. The primary, if its pool expects to admit the request within the
//!    [patience](Fallback::patience); else the first alternate of which that holds; else whoever
//!    expects to be soonest. Nothing is reserved to find out.
//! 3. If that fails, the next one, in the order of the [`Strategy`], and by the same rule of patience.
//!
//! What a pool expects is an estimate. It counts those in line as if they were one large request, and
//! knows nothing of what answers to come will give back or take away. So a model that does not admit
//! the request within the patience, or within what was expected if that was more, is left for the
//! next one. The last one there is may take its own
//! [`max_wait`](crate::ProactiveRateLimitLayer::max_wait). A [`Deadline`](crate::Deadline) in the
//! request bounds each wait.
//!
//! # What counts as a failure
//!
//! - A throttled or overloaded provider: 429, 503, 529, and what else its dialect knows for one.
//! - Used-up credit, and a model that the account may not use.
//! - A prompt that is too long for the model. No model whose window is known to be no larger is tried
//!   after that.
//! - A request that is too large for the limit of the account.
//! - [`RateLimitError::WaitTooLong`](crate::RateLimitError::WaitTooLong),
//!   [`Exhausted`](crate::RateLimitError::Exhausted) and
//!   [`RequestTooLarge`](crate::RateLimitError::RequestTooLarge) from the layer.
//!
//! All else is the answer, as it came: other statuses and other errors, after which the request may
//! have been worked upon. If every model fails, the answer is that of the last one tried. A failed
//! answer is dropped before the next model is waited for.
//!
//! # In a stack
//!
//! It is always ready, and holds nothing while it is: requests wait in their response futures, where
//! also the clients under the layers become ready. A `Timeout` around it covers all of the wait. A retry
//! belongs outside of it, and then tries all models again each time.
//!
//! Everything that [`ProactiveRateLimit`](crate::ProactiveRateLimit) says of dropped futures holds
//! here: what was sent stays counted, what was not costs nothing.

mod choice;
mod context;
mod failure;
mod future;
mod model;
mod service;
mod stats;
mod strategy;

pub use self::context::ContextExceeded;
pub use self::future::ResponseFuture;
pub use self::model::Model;
pub use self::service::Fallback;
pub use self::stats::FallbackStats;
pub use self::strategy::Strategy;
