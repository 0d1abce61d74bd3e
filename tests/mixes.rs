//! Live, dead, slow and impatient callers of one pool in random mixes: everybody who is polled is
//! served in reasonable time, nobody is woken without end, and everything is accounted for.

mod support;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proactive_rate_limit::{Cost, Limit, Margin, Pool};
use support::{assert_at_rest, exactly, layer};
use tokio::time::{Instant, sleep, timeout};

const FOR_EVER: Duration = Duration::from_secs(100_000);

async fn serve(pool: Pool, cost: Cost) {
    let permit = pool.acquire_within(FOR_EVER, cost).await.unwrap();
    permit.settle(cost);
}

/// Does not react to being woken: it is polled now and then.
async fn now_and_then(pool: Pool, cost: Cost, every: Duration) {
    let mut served = Box::pin(serve(pool, cost));
    loop {
        let unheard = |_: &mut Context<'_>| {
            let mut cx = Context::from_waker(Waker::noop());
            Poll::Ready(served.as_mut().poll(&mut cx).is_ready())
        };
        if poll_fn(unheard).await {
            return;
        }
        sleep(every).await;
    }
}

async fn counting(polls: Arc<AtomicU64>, future: impl Future<Output = ()>) {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        future.as_mut().poll(cx)
    })
    .await;
}

async fn play(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let window = Duration::from_secs(10);
    let tokens = Limit::tokens(1_000).per(window).margin(Margin::Units(0));
    let layer = layer([exactly(100, window), tokens]);
    let pool = layer.pool().unwrap();
    let polls = Arc::new(AtomicU64::new(0));
    let mut dead: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let mut live = Vec::new();
    let (mut most_tokens, mut woken) = (0, 0_u64);
    let start = Instant::now();
    for _ in 0..rng.usize(20..150) {
        let tokens = match rng.u8(0..10) {
            0 => rng.u64(500..=1_000),
            _ => rng.u64(0..100),
        };
        let cost = Cost::request().with_tokens(tokens);
        most_tokens += tokens;
        let pool = pool.clone();
        match rng.u8(0..4) {
            0 => {
                let mut caller = Box::pin(serve(pool, cost));
                let polled = caller
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                if polled.is_pending() {
                    dead.push(caller);
                }
            }
            1 => {
                let patience = Duration::from_millis(rng.u64(0..3_000));
                live.push(tokio::spawn(async move {
                    let _ = timeout(patience, serve(pool, cost)).await;
                }));
            }
            2 => {
                let every = Duration::from_millis(rng.u64(30..300));
                live.push(tokio::spawn(now_and_then(pool, cost, every)));
            }
            _ => {
                woken += 1;
                live.push(tokio::spawn(counting(
                    Arc::clone(&polls),
                    serve(pool, cost),
                )));
            }
        }
        if rng.bool() {
            sleep(Duration::from_millis(rng.u64(0..200))).await;
        }
    }
    // A slot each, the windows that all tokens fill twice over, and a second each for the slow.
    let slots = u32::try_from(live.len()).unwrap();
    let windows = u32::try_from(most_tokens / 1_000 + 1).unwrap();
    let bound = Duration::from_millis(1_100) * slots + 2 * window * windows;
    for caller in live {
        let served = timeout(bound, caller).await;
        assert!(served.is_ok(), "seed {seed}: {}", pool.stats());
        served.unwrap().unwrap();
    }
    assert!(
        start.elapsed() <= bound,
        "seed {seed}: {:?}",
        start.elapsed()
    );
    let polls = polls.load(Ordering::Relaxed);
    assert!(
        polls <= 20 * woken + 100,
        "seed {seed}: {polls} polls for {woken}"
    );
    drop(dead);
    assert_at_rest(&pool.stats());
}

#[tokio::test(start_paused = true)]
async fn everybody_who_is_polled_is_served() {
    for seed in 0..100 {
        play(seed).await;
    }
}
