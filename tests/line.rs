//! The line before a pool: its order, what it costs to stand in it, and real threads.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proactive_rate_limit::{
    Cost, Limit, Margin, Permit, Pool, RateLimitError, RateLimitTracker, Spacing,
};
use support::{OK, assert_at_rest, exactly, layer, request, tier, timed};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

const WINDOW: Duration = Duration::from_secs(10);

fn pool(limits: impl IntoIterator<Item = Limit>) -> Pool {
    RateLimitTracker::new().pool(&tier(limits)).unwrap()
}

/// Acquires, and counts how often that had to be polled.
async fn acquire_counting(pool: Pool, polls: Arc<AtomicU64>) -> Permit {
    let mut acquire = pin!(pool.acquire_within(Duration::from_secs(1_000_000), Cost::request()));
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        acquire.as_mut().poll(cx)
    })
    .await
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_are_served_in_order_with_one_wake_up_each() {
    const WAITERS: u64 = 10_000;
    let pool = pool([exactly(100, WINDOW)]);
    let polls = Arc::new(AtomicU64::new(0));
    let served = Arc::new(AtomicU64::new(0));
    let mut waiters = Vec::new();
    for n in 0..WAITERS {
        let acquire = acquire_counting(pool.clone(), Arc::clone(&polls));
        let served = Arc::clone(&served);
        waiters.push(tokio::spawn(async move {
            let permit = acquire.await;
            assert_eq!(
                served.fetch_add(1, Ordering::Relaxed),
                n,
                "first come, first served"
            );
            permit.settle(Cost::request());
        }));
    }
    let (elapsed, ()) = timed(async {
        for waiter in waiters {
            waiter.await.unwrap();
        }
    })
    .await;
    // The first 100 windows take 10,000 requests; each slot is a tenth of a second.
    assert_eq!(elapsed, Duration::from_millis(100) * (WAITERS as u32 - 1));
    let polls = polls.load(Ordering::Relaxed);
    println!("{polls} polls for {WAITERS} admissions");
    // One when it comes and one when it is its turn; a few find that their slot is a tick away.
    assert!(polls <= 2 * WAITERS + WAITERS / 10, "{polls} polls");
    assert_at_rest(&pool.stats());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_never_passes_one_that_waits() {
    let pool = pool([exactly(1, WINDOW)]);
    pool.acquire(Cost::request())
        .await
        .unwrap()
        .settle(Cost::request());
    let first = tokio::spawn({
        let pool = pool.clone();
        async move {
            let permit = pool.acquire(Cost::request()).await.unwrap();
            (Instant::now(), permit)
        }
    });
    let start = Instant::now();
    // Asks again and again, also at the very moment when room is made.
    while !first.is_finished() {
        if let Ok(permit) = pool.try_acquire(Cost::request()) {
            panic!("passed the line: {permit:?}");
        }
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(1)).await;
    }
    let (at, permit) = first.await.unwrap();
    assert_eq!(at - start, WINDOW);
    permit.settle(Cost::request());
}

#[tokio::test(start_paused = true)]
async fn a_large_request_at_the_head_is_not_starved_by_small_ones() {
    let pool = pool([Limit::tokens(100).per(WINDOW).margin(Margin::Units(0))]);
    let cost = |tokens| Cost::request().with_tokens(tokens);
    for _ in 0..10 {
        pool.acquire(cost(10)).await.unwrap().settle(cost(10));
        sleep(Duration::from_secs(1)).await;
    }
    let large = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.acquire(cost(100)).await.unwrap().settle(cost(100));
            Instant::now()
        }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    let small = pool.acquire(cost(10)).await.unwrap();
    let large = large.await.unwrap();
    assert_eq!(
        large - start,
        Duration::from_secs(9),
        "when the last small one has expired"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(19));
    small.settle(cost(10));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_leaves_and_the_next_is_served_at_once() {
    let pool = pool([exactly(1, WINDOW)]);
    pool.acquire(Cost::request())
        .await
        .unwrap()
        .settle(Cost::request());
    let start = Instant::now();
    let (first, second) = tokio::join!(
        timeout(Duration::from_secs(3), pool.acquire(Cost::request())),
        pool.acquire(Cost::request()),
    );
    first.unwrap_err();
    second.unwrap().settle(Cost::request());
    assert_eq!(start.elapsed(), WINDOW);
    assert_at_rest(&pool.stats());
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_dropped_keeps_its_reserve_counted() {
    let pool = pool([exactly(1, WINDOW)]);
    drop(pool.acquire(Cost::request()).await.unwrap());
    // Not answered: it may have been counted up to `max_skew` after it was sent.
    let (elapsed, permit) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(elapsed, WINDOW + Duration::from_millis(500));
    permit.unwrap().settle(Cost::request());
    assert_eq!(pool.stats().abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_is_dropped_costs_nothing() {
    let pool = pool([exactly(1, WINDOW)]);
    drop(pool.reserve(Cost::request()).await.unwrap());
    let (elapsed, permit) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(elapsed, Duration::ZERO);
    permit.unwrap().settle(Cost::request());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_told_at_its_deadline() {
    let pool = pool([Limit::concurrent(1)]);
    let busy = pool.acquire(Cost::request()).await.unwrap();
    let waits = |seconds| pool.acquire_within(Duration::from_secs(seconds), Cost::request());
    let ((a, first), (b, second), (c, third)) =
        tokio::join!(timed(waits(7)), timed(waits(3)), timed(waits(30)));
    for (elapsed, refused, seconds) in [(a, first, 7), (b, second, 3), (c, third, 30)] {
        let RateLimitError::WaitTooLong(error) = refused.unwrap_err() else {
            panic!("not the wait");
        };
        assert_eq!(elapsed, Duration::from_secs(seconds));
        assert_eq!(error.waited, elapsed);
    }
    drop(busy);
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_are_bounded_and_freed_after_the_settle_skew() {
    let pool = pool([Limit::concurrent(2)]);
    let a = pool.acquire(Cost::request()).await.unwrap();
    let _b = pool.acquire(Cost::request()).await.unwrap();
    assert!(pool.try_acquire(Cost::request()).is_err());
    a.settle(Cost::request());
    let (elapsed, c) = timed(pool.acquire(Cost::request())).await;
    assert_eq!(elapsed, Duration::from_millis(100));
    drop(c);
}

#[test]
fn waiting_outside_a_runtime_panics_and_leaves_the_line() {
    let pool = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { pool([exactly(1, WINDOW)]) })
    };
    pool.try_acquire(Cost::request())
        .unwrap()
        .settle(Cost::request());
    let blocked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut acquire = pin!(pool.acquire(Cost::request()));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = acquire.as_mut().poll(&mut cx);
    }));
    assert!(blocked.is_err());
    assert_at_rest(&pool.stats());
}

#[test]
fn waiting_in_a_runtime_without_timers_panics_in_the_caller() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let pool = pool([exactly(1, WINDOW)]);
    pool.try_acquire(Cost::request())
        .unwrap()
        .settle(Cost::request());
    for _ in 0..2 {
        let blocked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(pool.acquire(Cost::request()))
        }));
        assert!(blocked.is_err(), "it would wait for ever");
    }
    assert_at_rest(&pool.stats());
}

/// Threads that contend, cancel and drop, against the clock of the machine.
#[test]
fn threads_never_exceed_the_envelope() {
    const AMOUNT: usize = 400;
    let window = Duration::from_millis(200);
    let tracker = RateLimitTracker::new();
    let options = proactive_rate_limit::tracker::PoolOptions::default()
        .spacing(Spacing::Off)
        .grace(Duration::from_millis(5));
    let tier = tier([exactly(AMOUNT as u64, window)]);
    let pool = tracker.pool_with(&tier, &options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut sent: Vec<std::time::Instant> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for n in 0..64 {
            let pool = pool.clone();
            let mut rng = fastrand::Rng::with_seed(seed + n);
            tasks.push(tokio::spawn(async move {
                let mut sent = Vec::new();
                for _ in 0..60 {
                    let acquire = pool.acquire(Cost::request());
                    if rng.u8(0..10) == 0 {
                        // Gives up in the middle of waiting, most of the time.
                        let patience = Duration::from_micros(rng.u64(0..2_000));
                        let _ = timeout(patience, acquire).await;
                        continue;
                    }
                    let mut permit = acquire.await.unwrap();
                    sent.push(std::time::Instant::now());
                    permit.answered();
                    match rng.u8(0..4) {
                        0 => drop(permit),
                        1 => {
                            tokio::task::yield_now().await;
                            permit.settle(Cost::request());
                        }
                        _ => permit.settle(Cost::request()),
                    }
                }
                sent
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all
    });
    sent.sort_unstable();
    for pair in sent.windows(AMOUNT + 1) {
        let span = pair[AMOUNT] - pair[0];
        assert!(span >= window, "{} within {span:?}", AMOUNT + 1);
    }
    assert_at_rest(&pool.stats());
}

/// A task that stays would keep its pool for as long as the runtime lives.
#[tokio::test(start_paused = true)]
async fn nothing_runs_on_when_the_last_waiter_has_given_up() {
    let pool = pool([Limit::concurrent(1)]);
    let permit = pool.try_acquire(Cost::request()).unwrap();
    let waiting = pool.acquire_within(Duration::from_secs(5), Cost::request());
    let (waited, refused) = timed(waiting).await;
    refused.unwrap_err();
    assert_eq!(waited, Duration::from_secs(5));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    permit.settle(Cost::request());
    assert_at_rest(&pool.stats());
}

/// The same through the layer, whose services win and lose their rooms.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_through_the_layer_settle_everything() {
    let window = Duration::from_millis(50);
    let layer = layer([exactly(100, window)])
        .spacing(Spacing::Off)
        .grace(Duration::from_millis(1));
    let mut tasks = Vec::new();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for n in 0..32 {
        let mut service = layer.layer(OK);
        let mut rng = fastrand::Rng::with_seed(seed + n);
        tasks.push(tokio::spawn(async move {
            for _ in 0..40 {
                match rng.u8(0..8) {
                    0 => drop(timeout(Duration::from_millis(1), service.ready()).await),
                    1 => service = service.clone(),
                    2 => drop(service.ready().await.unwrap().call(request())),
                    _ => drop(
                        service
                            .ready()
                            .await
                            .unwrap()
                            .call(request())
                            .await
                            .unwrap(),
                    ),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_at_rest(&layer.stats().unwrap());
}
