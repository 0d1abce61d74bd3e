//! Retries what waiting can fix, by the provider's own word for how long.
//!
//! [`RetryPolicy`] is a policy for tower's [`Retry`](tower::retry::Retry). It belongs *outside* of
//! [`ProactiveRateLimitLayer`](crate::ProactiveRateLimitLayer), so that each attempt is admitted
//! anew, and counts. Inside, the layer would see one request however many are sent. The example
//! `hyper_stack` has both in a whole client.
//!
//! Under that layer refusals are rare; they come when somebody else uses the same key, or the provider
//! has less to give than it says.
//!
//! ```
//! use std::time::Duration;
//!
//! use proactive_rate_limit::retry::RetryPolicy;
//! # use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, Tier};
//! # use http::{Request, Response};
//! use tower::retry::budget::TpsBudget;
//! use tower::{ServiceBuilder, ServiceExt};
//! # use tower::service_fn;
//! # type Body = http_body_util::Full<bytes::Bytes>;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let tier = Tier::builder("openai", "gpt-4o").limit(Limit::requests(500).per_minute()).build()?;
//! # let start = tokio::time::Instant::now();
//! # let client = service_fn(move |_: Request<Body>| async move {
//! #     let mut response = Response::builder();
//! #     if start.elapsed() < Duration::from_secs(7) {
//! #         response = response.status(429).header("retry-after", "7");
//! #     }
//! #     Ok::<_, BoxError>(response.body(Body::default())?)
//! # });
//! # let request = Request::post("https://api.openai.com/v1/responses").body(Body::default())?;
//! let retry = RetryPolicy::new()
//!     .final_attempt_after(Duration::from_secs(60)) // in place of 90 s
//!     .budget(TpsBudget::default()); // ten a second, and one for every five successes
//! let client = ServiceBuilder::new()
//!     .retry(retry)
//!     .layer(ProactiveRateLimitLayer::new(tier))
//!     .service(client);
//!
//! let response = client.oneshot(request).await?; // not 429, but that of seven seconds later
//! # assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # What is retried
//!
//! - An answer by which the provider refuses for now: a rate limit (429) or an overload (503, 529,
//!   and what else a provider's dialect knows for one). The [`Refusal`](crate::Refusal) that the
//!   layer puts into the extensions of a response decides, since it knows the body; without it, the
//!   [`Provider`](crate::provider::Provider)'s reading of status and headers does.
//! - A failure of whatever status that comes with `x-should-retry: true`.
//! - A connection that was refused: the request was certainly not sent. What else is certain not to
//!   be is for [`RetryPolicy::never_sent`] to say.
//!
//! What is passed on at once:
//!
//! - What waiting cannot fix: used-up credit, a request too large, a model that the account may not
//!   use, every [`RateLimitError`](crate::RateLimitError). Even
//!   [`WaitTooLong`](crate::RateLimitError::WaitTooLong): by
//!   [`max_wait`](crate::ProactiveRateLimitLayer::max_wait) it is said already how long is too long.
//! - A refusal that asks for more [patience](RetryPolicy::patience) than there is, or names a limit of
//!   a longer window than that and no time at all.
//! - What comes with `x-should-retry: false`.
//! - Other failures, of the provider (500, 502, 504) as of the connection: the request may have been
//!   worked upon, and be charged for, although its answer was lost.
//! - A response whose head was good. Nothing that happens to its body, streamed or not, is seen here.
//!
//! # When
//!
//! After each of at most [three](RetryPolicy::max_retries) failures in turn a retry follows, 1 s, 2 s
//! and 4 s later or as long after as the provider asked for, whichever is longer, and up to half of
//! that own back-off later still, at random: never earlier. When they have failed, too, one final
//! attempt is made once 90 s have passed since the last failure, or later if the provider asks for
//! that. Then the failure is passed on, so that whoever has a fallback can turn to it.
//!
//! The layer's pool pauses for the same `Retry-After`, for everybody. Both waits begin with the same
//! answer, so they pass together and nothing is waited for twice; but meanwhile a retry stands in
//! nobody's way: it joins the pool's line only when its own wait is over, and `max_wait` counts from
//! there. It waits by itself since the pool's pause may be cut short (`max_hold`), and is not for one
//! request's own back-off.
//!
//! So one request takes up to five times `max_wait` longer than its own waits, where the pool is that
//! busy. What is to take no longer in all wants a time-out around it.
//!
//! The failed response is dropped before the wait, and what failed stays counted.

mod back_off;
mod failure;
mod pause;
mod policy;

pub use self::pause::Pause;
pub use self::policy::RetryPolicy;
