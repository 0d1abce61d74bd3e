//! What the tests of the tower floor have in common.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod loopback;
pub(crate) mod piped;

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use proactive_rate_limit::{
    BoxError, Charge, Limit, Margin, ProactiveRateLimitLayer, RateLimitTracker, Stats, Tier,
};
use tokio::time::Instant;
use tower::Service;

pub(crate) type Body = Full<Bytes>;

/// A limit without margin, so that the numbers in a test are those it writes.
pub(crate) fn exactly(amount: u64, window: Duration) -> Limit {
    Limit::requests(amount).per(window).margin(Margin::Units(0))
}

pub(crate) fn tier(limits: impl IntoIterator<Item = Limit>) -> Tier {
    tier_charging(Charge::Reserved, limits)
}

pub(crate) fn tier_charging(charge: Charge, limits: impl IntoIterator<Item = Limit>) -> Tier {
    Tier::builder("openai-compatible", "test-model")
        .limits(limits)
        .charge(charge)
        .build()
        .expect("valid limits")
}

/// A layer that shares nothing with other tests.
pub(crate) fn layer(limits: impl IntoIterator<Item = Limit>) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier(limits)).tracker(&RateLimitTracker::new())
}

pub(crate) fn request() -> Request<Body> {
    Request::post("http://provider.test/v1/chat/completions")
        .body(Full::default())
        .expect("a valid request")
}

/// Answers at once with this status and no body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers(pub(crate) StatusCode);

pub(crate) const OK: Answers = Answers(StatusCode::OK);

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.0;
        ready(Ok(response))
    }
}

/// A body that plays a fixed script of frames.
pub(crate) struct Script {
    frames: std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>,
    /// Whether it knows its end before it is asked for one more frame.
    knows_its_end: bool,
}

impl Script {
    pub(crate) fn new(frames: Vec<Result<Frame<Bytes>, BoxError>>, knows_its_end: bool) -> Self {
        Self {
            frames: frames.into_iter(),
            knows_its_end,
        }
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.frames.next())
    }

    fn is_end_stream(&self) -> bool {
        self.knows_its_end && self.frames.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(4242)
    }
}

/// How long `future` takes by the clock in force, and what it gives.
pub(crate) async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed(), output)
}

/// Every admission is accounted for, exactly once.
pub(crate) fn assert_settled(stats: &Stats) {
    assert_eq!(
        stats.granted,
        stats.total_requests + stats.released + stats.lapsed + stats.reserved,
        "{stats}"
    );
    assert_eq!(
        stats.total_requests,
        stats.settled + stats.abandoned + stats.in_flight,
        "{stats}"
    );
}

/// Nothing is under way any more, and everything is accounted for.
pub(crate) fn assert_at_rest(stats: &Stats) {
    assert_settled(stats);
    assert_eq!(
        (stats.in_flight, stats.reserved, stats.waiting),
        (0, 0, 0),
        "{stats}"
    );
}
