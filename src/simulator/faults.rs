//! Things that go wrong between a client and its provider, drawn from a seed.
//!
//! A [`FaultyNetwork`] stands in front of a [`Simulator`](super::Simulator), or any other service,
//! and does to requests and answers what a plan of [`Faults`] says: connections are refused, heads
//! are late, bodies stall, answers are replaced by failures, headers are garbled ([`FaultKind`] has
//! all of it). What really happened is in its [`FaultReport`]; what the provider saw of it, in the
//! provider's.
//!
//! It is used like a simulator, with the same faults from the same seed: in process, as a `tower`
//! service whose errors are [`io::Error`](std::io::Error)s, on a paused clock if wanted; or over any
//! byte stream, with HTTP/1.1 ([`FaultyNetwork::serve_http1`]) or HTTP/2
//! ([`FaultyNetwork::serve_http2`]).
//!
//! # Example
//!
//! Every answer gets lost. The provider counts the requests all the same:
//!
//! ```
//! use std::io::ErrorKind;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use proactive_rate_limit::simulator::Simulator;
//! use proactive_rate_limit::simulator::faults::{FaultKind, Faults, FaultyNetwork};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), http::Error> {
//! let provider = Simulator::builder().requests(5).build();
//! let faults = Faults::new().inject(FaultKind::AnswerLost, 1.0);
//! let network = FaultyNetwork::new(provider.clone(), faults);
//!
//! for _ in 0..3 {
//!     let request = http::Request::post("/v1/chat/completions").body(Full::new(Bytes::from(
//!         r#"{"model": "gpt-test", "messages": [{"role": "user", "content": "Hello!"}]}"#,
//!     )))?;
//!     let lost = network.clone().oneshot(request).await.unwrap_err();
//!     assert_eq!(lost.kind(), ErrorKind::ConnectionReset);
//! }
//! assert_eq!(network.report().count(FaultKind::AnswerLost), 3);
//! assert_eq!(provider.report().requests.counted, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # Life of a request
//!
//! It gets the next index when its future is first polled, and everything random about it is drawn
//! from the seed and that index alone, so concurrency does not reorder draws. On its way it meets at
//! most one fault in each of these places, in this order:
//!
//! 1. before the provider sees it: [`ConnectRefused`](FaultKind::ConnectRefused) or
//!    [`ConnectDelay`](FaultKind::ConnectDelay);
//! 2. when the provider has answered: [`AnswerLost`](FaultKind::AnswerLost) or
//!    [`HeadDelay`](FaultKind::HeadDelay);
//! 3. the answer is replaced: [`ServerError`](FaultKind::ServerError),
//!    [`Unavailable`](FaultKind::Unavailable), [`Overloaded`](FaultKind::Overloaded),
//!    [`Throttled`](FaultKind::Throttled) or [`Redirect`](FaultKind::Redirect). The provider's own is
//!    dropped, which looks to it like a client that left; its headers stay, as far as they do not
//!    describe the body;
//! 4. its headers about limits, by [`DuplicateHeaders`](FaultKind::DuplicateHeaders) or
//!    [`MalformedHeaders`](FaultKind::MalformedHeaders);
//! 5. its `Retry-After`, if it is a refusal or a failure, real or injected: by the kinds whose names
//!    begin with it;
//! 6. its body, within the first 2 KiB, or at its end if that comes first:
//!    [`BodyStall`](FaultKind::BodyStall), [`BodyHang`](FaultKind::BodyHang),
//!    [`BodyCut`](FaultKind::BodyCut) or [`ErrorEvent`](FaultKind::ErrorEvent), the last between two
//!    events only and never at the end;
//! 7. its connection, by [`CloseAfterAnswer`](FaultKind::CloseAfterAnswer).

mod answer;
mod body;
mod connection;
mod draw;
mod headers;
mod kind;
mod network;
mod plan;
mod report;

pub use self::{
    body::FaultyBody,
    kind::FaultKind,
    network::{FaultyFuture, FaultyNetwork},
    plan::Faults,
    report::FaultReport,
};
