//! Callers and services that are slow, stand in the way, or come too late: what they may cost
//! others, and what is refused at once.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use proactive_rate_limit::{
    BoxError, Cost, Limit, Margin, ProactiveRateLimit, ProactiveRateLimitLayer, RateLimitError,
    RateLimitTracker, Spacing, TokenEstimate,
};
use support::{
    Answers, Body, OK, assert_at_rest, assert_settled, exactly, layer, request, tier, timed,
};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::load_shed::LoadShed;
use tower::{Layer, Service, ServiceExt};

const MINUTE: Duration = Duration::from_secs(60);

fn tokens(amount: u64) -> Limit {
    Limit::tokens(amount).per_minute().margin(Margin::Units(0))
}

fn cost(tokens: u64) -> Cost {
    Cost::request().with_tokens(tokens)
}

fn estimated(output: u64) -> Request<Body> {
    let mut request = request();
    request
        .extensions_mut()
        .insert(TokenEstimate::new(0, output));
    request
}

fn refusal(error: &BoxError) -> &RateLimitError {
    error.downcast_ref().expect("refused by the limiter")
}

/// Polls it once with a waker that wakes nobody, and keeps it.
fn poll_once<F: Future>(future: &mut Pin<Box<F>>) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
}

/// Each fresh clone takes a while to become ready: a connection has to be made.
struct Slow {
    takes: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Slow {
    fn new(millis: u64) -> Self {
        Self {
            takes: Duration::from_millis(millis),
            timer: None,
        }
    }
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        Self {
            takes: self.takes,
            timer: None,
        }
    }
}

impl Service<Request<Body>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let takes = self.takes;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(takes)));
        timer.as_mut().poll(cx).map(Ok)
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.timer = None;
        ready(Ok(Response::new(Body::default())))
    }
}

/// What is granted lapses while the inner service is not ready. It must not do so for ever.
#[tokio::test(start_paused = true)]
async fn an_inner_service_slower_than_the_grace_is_served() {
    for (callers, millis) in [(2, 150), (3, 150), (10, 150), (10, 450)] {
        let layer = layer([exactly(60, MINUTE)]);
        let mut tasks = Vec::new();
        for _ in 0..callers {
            let mut service = layer.layer(Slow::new(millis));
            tasks.push(tokio::spawn(async move {
                service
                    .ready()
                    .await
                    .unwrap()
                    .call(request())
                    .await
                    .unwrap();
            }));
        }
        let (elapsed, ()) = timed(async {
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await;
        // A slot each, what lapses once for each, and the time to be ready twice over.
        let bound = Duration::from_millis(1_100 * callers + 3 * millis);
        assert!(
            elapsed <= bound,
            "{callers} callers, {millis} ms: {elapsed:?}"
        );
        assert_at_rest(&layer.stats().unwrap());
    }
}

/// What passes between the grant and the dispatch must not delay the next grant.
#[tokio::test(start_paused = true)]
async fn time_between_grant_and_dispatch_costs_no_quota() {
    for (rpm, millis) in [
        (60, 50),
        (600, 0),
        (600, 10),
        (600, 90),
        (6000, 3),
        (6000, 90),
    ] {
        let layer = layer([exactly(rpm, MINUTE)]);
        let pool = layer.pool().unwrap();
        for _ in 0..200 {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    let Ok(reservation) = pool.reserve(Cost::request()).await else {
                        continue;
                    };
                    sleep(Duration::from_millis(millis)).await;
                    let Ok(permit) = reservation.dispatch().await else {
                        continue;
                    };
                    permit.settle(Cost::request());
                }
            });
        }
        sleep(5 * MINUTE).await;
        let sent = pool.stats().total_requests as f64;
        let share = sent / (rpm as f64 * 5.0);
        assert!(share >= 0.99, "{rpm} RPM, {millis} ms: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_request_too_large_for_now_does_not_block_small_ones() {
    let layer = layer([tokens(1_000)]);
    let pool = layer.pool().unwrap();
    pool.acquire(cost(100)).await.unwrap().settle(cost(100));
    let mut dead = Vec::new();
    for _ in 0..100 {
        let pool = pool.clone();
        let mut acquire = Box::pin(async move { pool.acquire(cost(1_000)).await });
        poll_once(&mut acquire);
        dead.push(acquire);
    }
    let (elapsed, permit) = timed(pool.acquire(cost(1))).await;
    permit.unwrap().settle(cost(1));
    assert!(elapsed <= Duration::from_millis(300), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_live_request_too_large_for_now_is_passed_by_nobody() {
    let layer = layer([tokens(1_000)]);
    let pool = layer.pool().unwrap();
    pool.acquire(cost(100)).await.unwrap().settle(cost(100));
    let large = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.acquire(cost(1_000)).await.unwrap().settle(cost(1_000));
            Instant::now()
        }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    let small = pool.acquire(cost(1)).await.unwrap();
    assert_eq!(large.await.unwrap() - start, MINUTE);
    assert_eq!(start.elapsed(), 2 * MINUTE);
    small.settle(cost(1));
}

#[tokio::test(start_paused = true)]
async fn response_futures_polled_once_take_no_slots() {
    let layer = layer([exactly(60, MINUTE)]);
    let mut ready = Vec::new();
    for _ in 0..50 {
        let mut service = layer.layer(OK);
        service.ready().await.unwrap();
        ready.push(service);
    }
    let mut calls: Vec<_> = ready
        .iter_mut()
        .map(|service| Box::pin(service.call(request())))
        .collect();
    let mut cx = Context::from_waker(Waker::noop());
    for call in &mut calls {
        let _ = call.as_mut().poll(&mut cx);
    }
    let (elapsed, response) = timed(layer.layer(OK).oneshot(request())).await;
    response.unwrap();
    assert!(elapsed <= Duration::from_millis(1_100), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn dead_and_live_in_turn_stay_within_the_bound() {
    for dead_for_each in [1, 3, 7] {
        let layer = layer([exactly(6_000, MINUTE)]);
        let pool = layer.pool().unwrap();
        pool.hold(Duration::from_secs(10));
        let start = Instant::now();
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            for _ in 0..dead_for_each {
                let mut service = layer.layer(OK);
                let mut cx = Context::from_waker(Waker::noop());
                let polled = Service::<Request<Body>>::poll_ready(&mut service, &mut cx);
                assert!(polled.is_pending());
                dead.push(service);
            }
            live.push(tokio::spawn(layer.layer(OK).oneshot(request())));
            tokio::task::yield_now().await;
        }
        for task in live {
            task.await.unwrap().unwrap();
        }
        // 200 slots of 10 ms after the hold, and the doubling offers to 1,400 dead at most.
        let late = start.elapsed().saturating_sub(Duration::from_secs(12));
        assert!(
            late <= Duration::from_millis(110),
            "{dead_for_each}: {late:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_polled_now_and_then_do_not_starve_one_that_waits() {
    let layer = layer([exactly(6_000, MINUTE)]);
    for n in 0..200_u64 {
        let mut shed = LoadShed::new(layer.layer(OK));
        tokio::spawn(async move {
            sleep(Duration::from_millis(n)).await;
            loop {
                let _ = shed.ready().await.unwrap().call(request()).await;
                sleep(Duration::from_millis(200)).await;
            }
        });
    }
    let mut service: ProactiveRateLimit<Answers> = layer.layer(OK);
    let (mut served, mut worst) = (0, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < MINUTE {
        let (waited, response) =
            timed(async { service.ready().await.unwrap().call(request()).await }).await;
        response.unwrap();
        served += 1;
        worst = worst.max(waited);
    }
    assert!(
        worst <= Duration::from_secs(1),
        "{served} served, worst wait {worst:?}"
    );
    // It gets its share, and the pool is not idle for the others' absence.
    let all = layer.stats().unwrap().total_requests;
    assert!(served > 1_000 && all > 5_000, "{served} of {all}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_fits_is_refused_at_once_behind_a_line_and_during_a_hold() {
    let layer = layer([tokens(100)]);
    let pool = layer.pool().unwrap();
    let busy = pool.acquire(cost(100)).await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { drop(pool.acquire(cost(100)).await) }
    });
    tokio::task::yield_now().await;
    for _ in 0..2 {
        let (elapsed, error) = timed(pool.acquire(cost(101))).await;
        assert!(matches!(error, Err(RateLimitError::RequestTooLarge(_))));
        assert_eq!(elapsed, Duration::ZERO);
        pool.hold(Duration::from_secs(200));
    }
    waiting.abort();
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_turns_out_too_long_once_the_request_is_known_is_refused_at_once() {
    let tier = tier([Limit::tokens(10_000).per_day().margin(Margin::Units(0))]);
    let layer = ProactiveRateLimitLayer::new(tier)
        .tracker(&RateLimitTracker::new())
        .max_wait(Duration::from_secs(20));
    let pool = layer.pool().unwrap();
    pool.acquire(cost(6_000)).await.unwrap().settle(cost(6_000));
    let mut service = layer.layer(OK);
    // What a request usually costs here is little so far, so the service is ready for one.
    for _ in 0..30 {
        service
            .ready()
            .await
            .unwrap()
            .call(estimated(10))
            .await
            .unwrap();
    }
    let (elapsed, error) =
        timed(async { service.ready().await.unwrap().call(estimated(5_000)).await }).await;
    assert!(matches!(
        refusal(&error.unwrap_err()),
        RateLimitError::WaitTooLong(_)
    ));
    assert_eq!(elapsed, Duration::ZERO);
    let (elapsed, response) =
        timed(async { service.ready().await.unwrap().call(estimated(100)).await }).await;
    response.unwrap();
    assert_eq!(
        elapsed,
        Duration::ZERO,
        "nobody is held up by what cannot be"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_outlast_its_reason() {
    let layer = layer([exactly(1, MINUTE)]).max_wait(Duration::from_secs(1));
    let mut service = layer.layer(OK);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    service.ready().await.unwrap();
    sleep(60 * MINUTE).await;
    service.call(request()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn max_wait_bounds_the_wait_for_a_slot_inside_the_future() {
    let layer = layer([exactly(60, MINUTE)]).max_wait(Duration::from_secs(1));
    let mut ready = Vec::new();
    for _ in 0..20 {
        let mut service = layer.layer(OK);
        service.ready().await.unwrap();
        ready.push(service);
    }
    let calls: Vec<_> = ready
        .iter_mut()
        .map(|service| tokio::spawn(timed(service.call(request()))))
        .collect();
    for call in calls {
        let (elapsed, _) = call.await.unwrap();
        assert!(elapsed <= Duration::from_secs(1), "{elapsed:?}");
    }
    assert_settled(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_counted_once_wherever_it_waits() {
    let layer = layer([tokens(1_000)]).spacing(Spacing::Off);
    let mut service = layer.layer(OK);
    service
        .ready()
        .await
        .unwrap()
        .call(estimated(900))
        .await
        .unwrap();
    // The room it wins in `poll_ready` is for less than it turns out to need.
    service
        .ready()
        .await
        .unwrap()
        .call(estimated(900))
        .await
        .unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!((stats.total_requests, stats.scheduled_waits), (2, 1));
}

/// Two runtimes: the future moves from one that is no longer run to another one.
#[test]
fn a_future_may_move_to_another_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let layer = {
        let _entered = first.enter();
        layer([exactly(1, MINUTE)])
    };
    let mut call = Box::pin(layer.layer(OK).oneshot(request()));
    first.block_on(async {
        layer.layer(OK).oneshot(request()).await.unwrap();
        timeout(Duration::from_millis(1), call.as_mut())
            .await
            .unwrap_err();
    });
    second.block_on(async {
        timeout(2 * MINUTE, call.as_mut()).await.unwrap().unwrap();
    });
}

/// One poll by somebody who does not come when woken makes nobody trusted, nor others wait for it.
#[tokio::test(start_paused = true)]
async fn a_thousand_dead_with_a_stray_poll_each_delay_a_slow_one_briefly() {
    let layer = layer([exactly(60_000, MINUTE)]);
    let pool = layer.pool().unwrap();
    pool.hold(Duration::from_secs(1));
    let mut dead = Vec::new();
    for _ in 0..1_000 {
        let pool = pool.clone();
        let mut acquire = Box::pin(async move { pool.acquire(cost(0)).await });
        poll_once(&mut acquire);
        dead.push(acquire);
    }
    // Asks, is busy elsewhere when its turn comes, and waits properly from then on.
    let mut slow = Box::pin(pool.acquire(cost(0)));
    poll_once(&mut slow);
    sleep(Duration::from_millis(1_350)).await;
    pool.hold(Duration::from_millis(200));
    for acquire in &mut dead {
        poll_once(acquire);
    }
    let (elapsed, permit) = timed(slow).await;
    permit.unwrap().settle(cost(0));
    assert!(elapsed <= Duration::from_millis(400), "{elapsed:?}");
}
