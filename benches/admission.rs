//! What an admission costs: the decision alone on a logical clock, and the whole layer over a
//! service that does nothing, next to that service.
//!
//! `cargo bench --bench admission`

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use proactive_rate_limit::schedule::{
    Decision, Dispatch, Proactive, SchedulingStrategy, Settlement, Spacing, Timestamp,
};
use proactive_rate_limit::{Charge, Cost, Limit, ProactiveRateLimitLayer, RateLimitTracker, Tier};
use tower::{Layer, Service};

type Body = Full<Bytes>;

/// So many that no measured run ever has to wait.
const AMPLE: u64 = 1 << 50;

fn limits(count: usize) -> Vec<Limit> {
    let all = [
        Limit::requests(AMPLE).per_minute(),
        Limit::tokens(AMPLE).per_minute(),
        Limit::requests(AMPLE).per_day(),
    ];
    all[..count].to_vec()
}

fn cost() -> Cost {
    Cost::request().with_tokens(500)
}

/// Decide, reserve, dispatch, answer and settle, a microsecond apart.
fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    for (name, count) in [("1_limit", 1), ("3_limits", 3)] {
        let mut strategy =
            Proactive::new(limits(count), Charge::Reserved).with_spacing(Spacing::Off);
        let mut now = Timestamp::ZERO;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now = now + Duration::from_micros(1);
                black_box(strategy.decide(now, black_box(&cost())))
            });
        });
        group.bench_function(format!("{name}_whole_life"), |bencher| {
            bencher.iter(|| {
                now = now + Duration::from_micros(1);
                assert_eq!(strategy.decide(now, &cost()), Decision::Admit);
                let mut entry = strategy.reserve(now, &cost());
                assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
                strategy.answer(now, &mut entry);
                strategy.settle(now, entry, Settlement::Charged(cost()));
            });
        });
    }
    group.finish();
}

/// Answers with a small usage object and does nothing else.
#[derive(Clone)]
struct Noop;

impl Service<Request<Body>> for Noop {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        const USAGE: &[u8] =
            br#"{"usage":{"prompt_tokens":120,"completion_tokens":380,"total_tokens":500}}"#;
        ready(Ok(Response::new(Full::new(Bytes::from_static(USAGE)))))
    }
}

/// One request from ready to the end of its body.
fn round_trip<S, R>(service: &mut S, cx: &mut Context<'_>)
where
    S: Service<Request<Body>, Response = Response<R>>,
    R: http_body::Body,
{
    let Poll::Ready(Ok(())) = service.poll_ready(cx) else {
        panic!("has to wait");
    };
    let mut request = Request::new(Full::default());
    *request.method_mut() = http::Method::POST;
    let response = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = response.poll(cx) else {
        panic!("has to wait");
    };
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            panic!("has to wait");
        };
        if black_box(frame).is_none() {
            break;
        }
    }
}

fn layer(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut group = criterion.benchmark_group("layer");
    group.bench_function("noop", |bencher| {
        let mut service = Noop;
        bencher.iter(|| round_trip(&mut service, &mut cx));
    });
    for (name, count) in [("1_limit", 1), ("3_limits", 3)] {
        let tier = Tier::builder("openai", "bench")
            .limits(limits(count))
            .build()
            .expect("valid limits");
        let mut service = ProactiveRateLimitLayer::new(tier)
            .tracker(&RateLimitTracker::new())
            .spacing(Spacing::Off)
            .layer(Noop);
        group.bench_function(name, |bencher| {
            bencher.iter(|| round_trip(&mut service, &mut cx));
        });
    }
    group.finish();
}

criterion_group!(benches, decision, layer);
criterion_main!(benches);
