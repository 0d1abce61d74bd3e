//! Limits around reqwest's client, whose requests and responses stay its own.
//!
//! `reqwest::Client` and `&reqwest::Client` are services of `reqwest::Request` and
//! `reqwest::Response`; the layers here want those of the `http` crate. [`ReqwestLayer`] goes around
//! such a layer and translates on both of its sides, so that what comes out is a service like the
//! client that went in:
//!
//! ```no_run
//! use proactive_rate_limit::reqwest::ReqwestLayer;
//! use proactive_rate_limit::{ProactiveRateLimitLayer, Tier};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), proactive_rate_limit::BoxError> {
//! # let body = serde_json::json!({});
//! let limits = ProactiveRateLimitLayer::new(Tier::lookup("openai", "gpt-4o-mini", "tier1")?);
//! let client = reqwest::Client::builder().retry(reqwest::retry::never()).build()?;
//! let limited = ServiceBuilder::new().layer(ReqwestLayer::new(limits)).service(client.clone());
//!
//! let request = client.post("https://api.openai.com/v1/chat/completions").json(&body);
//! let response = limited.execute(request.build()?).await?;
//! println!("{}", response.text().await?); // its usage settles the budget
//! # Ok(())
//! # }
//! ```
//!
//! A [`PerModelRateLimitLayer`](crate::per_model::PerModelRateLimitLayer) can be inside of it as well,
//! and so can any other layer over requests and responses of `http`.
//!
//! # What a request costs
//!
//! A body that reqwest holds in memory, as of [`json`](::reqwest::RequestBuilder::json), is looked into
//! for its prompt and its cap. One that is streamed, as of a form with files, is not. reqwest gives no
//! access to the extensions of its requests: [`with_extension`] puts a
//! [`TokenEstimate`](crate::TokenEstimate) there all the same. Copies made by
//! [`try_clone`](::reqwest::Request::try_clone) have it, too.
//!
//! # What passes, and how
//!
//! Of a request, everything: its own time-out, its version of HTTP and its extensions among it. Of a
//! response, its URL, its extensions and its trailers, too. What a refusal is about is in the
//! extensions of the response, as a [`Refusal`](crate::Refusal).
//!
//! Errors of the client come as they are, boxed: `error.downcast_ref::<reqwest::Error>()`. One that
//! comes while a body is read is of the same kind as without the layer, but what caused it is found
//! further down in the chain of its sources.
//!
//! # What reqwest does by itself
//!
//! What is sent *below* the layer is neither admitted nor counted:
//!
//! - **Retries.** By default reqwest sends a request again only when the server says on its HTTP/2
//!   connection that it did not look at it. That costs nothing at the provider, but
//!   [`retry::never`](::reqwest::retry::never) leaves no doubt. A policy of
//!   [`ClientBuilder::retry`](::reqwest::ClientBuilder::retry) that retries answers does not belong
//!   there: put retries *around* the limited service, so that each attempt is admitted. The feature
//!   `reqwest-middleware` has a place for those of `reqwest-retry`. The policy of the feature `retry`
//!   wants bodies that are [`Clone`], which reqwest's are not.
//! - **Redirects.** Up to ten are followed, for one admission. API hosts do not redirect; where one
//!   does and counts each hop, turn that off by
//!   [`Policy::none`](::reqwest::redirect::Policy::none).
//!
//! Decompression by reqwest is below the layer, where it belongs.
//!
//! # Time-outs
//!
//! reqwest's time-outs, that of the client as that of a request, begin when the request is sent. The
//! wait for admission has a bound of its own, in
//! [`max_wait`](crate::ProactiveRateLimitLayer::max_wait). To bound all of it, wait and answer
//! together, put a time-out around [`execute`](AsReqwest::execute).
//!
//! # Cancel safety
//!
//! As of [`ResponseFuture`](crate::ResponseFuture): dropped before the request was sent, it costs
//! nothing; dropped after, or a response that is dropped before its end, stays counted at its full
//! reserve for as long as the provider may charge it.
//!
//! # Panics
//!
//! Outside a Tokio runtime with its timer enabled, as reqwest's client does.

mod as_http;
mod as_reqwest;
mod layer;
mod request;

pub use self::as_http::{AsHttp, HttpFuture};
pub use self::as_reqwest::{AsReqwest, ReqwestFuture};
pub use self::layer::ReqwestLayer;
pub use self::request::with_extension;
