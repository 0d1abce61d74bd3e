//! A user's strategy that panics takes down whoever called it, and nobody else.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proactive_rate_limit::schedule::{
    Cost, Decision, Dispatch, Entry, LimitStatus, Proactive, SchedulingStrategy, Settlement,
    Timestamp,
};
use proactive_rate_limit::tracker::PoolOptions;
use proactive_rate_limit::{Charge, RateLimitError, RateLimitTracker};
use support::{exactly, tier, timed};
use tokio::time::timeout;

/// Panics the next time it is asked, if told to.
#[derive(Debug)]
struct Touchy {
    inner: Proactive,
    panics: Arc<AtomicBool>,
}

impl SchedulingStrategy for Touchy {
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        assert!(
            !self.panics.swap(false, Ordering::Relaxed),
            "as it was told"
        );
        self.inner.decide(now, cost)
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        self.inner.reserve(now, cost)
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        self.inner.resize(now, entry, cost)
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        self.inner.dispatch(now, entry)
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        self.inner.answer(now, entry);
    }

    fn settle(&mut self, now: Timestamp, entry: Entry, settlement: Settlement) {
        self.inner.settle(now, entry, settlement);
    }

    fn release(&mut self, now: Timestamp, entry: Entry) {
        self.inner.release(now, entry);
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.inner.status(now)
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_to_be_woken_is_woken_all_the_same() {
    let panics = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&panics);
    let options = PoolOptions::default().strategy(move |_, limits| {
        Box::new(Touchy {
            inner: Proactive::new(limits.iter().copied(), Charge::Reserved),
            panics: Arc::clone(&told),
        })
    });
    let window = Duration::from_secs(10);
    let pool = RateLimitTracker::new()
        .pool_with(&tier([exactly(1, window)]), &options)
        .unwrap();
    let cost = Cost::request();
    pool.acquire(cost).await.unwrap().settle(cost);

    let second = Duration::from_secs(1);
    let impatient = tokio::spawn({
        let pool = pool.clone();
        async move { timed(pool.acquire_within(second, cost)).await }
    });
    let patient = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(cost).await.map(|permit| permit.settle(cost)) }
    });
    // Both are in line before the strategy panics under whoever looks at it next.
    tokio::time::sleep(second / 2).await;
    panics.store(true, Ordering::Relaxed);

    // A bound on the paused clock, so that this fails rather than hangs.
    let long = 100 * second;
    let (waited, refused) = timeout(long, impatient).await.expect("woken").unwrap();
    assert_eq!(waited, second);
    assert!(matches!(refused, Err(RateLimitError::WaitTooLong(_))));
    let served = timeout(long, patient).await.expect("woken");
    assert_eq!(served.unwrap(), Ok(()));
}
