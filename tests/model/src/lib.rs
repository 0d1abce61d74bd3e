//! What the models have in common: a pool whose every step is audited, and a runtime that watches
//! its line.
#![cfg(proactive_rate_limit_model)]

mod audit;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use proactive_rate_limit::tracker::model::runtime::Handle;
use proactive_rate_limit::tracker::model::thread;
use proactive_rate_limit::tracker::model::time::Instant;
use proactive_rate_limit::{Cost, Limit, Margin, Pool, Stats};

pub use self::audit::Audit;

/// The cost of every request.
pub const ONE: Cost = Cost::request();

/// How long an offer stands that nobody comes for.
pub const OFFER: Duration = Duration::from_millis(10);

/// How long a grant stands that nobody uses.
pub const GRACE: Duration = Duration::from_millis(100);

/// Time passes only when everybody waits.
pub const PATIENT: Duration = Duration::ZERO;

/// As much time as offers and grants stand for may pass at any moment.
pub const HASTY: Duration = GRACE;

/// What [`Limit::requests`] allows per second, without a margin.
pub fn per_second(amount: u64) -> Limit {
    Limit::requests(amount)
        .per_second()
        .margin(Margin::Units(0))
}

/// Plays `scenario` in every order in which its threads can take their locks, with at most
/// `preemptions` switches away from a thread that could go on.
pub fn check(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 10_000;
    let executions = Arc::new(Mutex::new(0_u64));
    let count = Arc::clone(&executions);
    model.check(move || {
        *count.lock().unwrap() += 1;
        scenario();
    });
    println!("{} executions", executions.lock().unwrap());
}

/// [`check`], and every outcome in `expected` happens in some execution, and no other.
pub fn check_outcomes<T, const N: usize>(
    preemptions: usize,
    expected: [T; N],
    scenario: impl Fn() -> T + Send + Sync + 'static,
) where
    T: Ord + Debug + Send + 'static,
{
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let outcomes = Arc::clone(&seen);
    check(preemptions, move || {
        let outcome = scenario();
        outcomes.lock().unwrap().insert(outcome);
    });
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from(expected));
}

/// Lets `scenario` use a pool and a runtime that runs, and looks at both at the end: everybody was
/// served or has gone, everything is accounted for, and no driver is left. Gives how long it took.
pub fn play(limit: Limit, haste: Duration, scenario: impl FnOnce(&Pool, &Handle)) -> Duration {
    let audit = Audit::default();
    let pool = audit.pool(limit);
    let runtime = Handle::new(haste);
    let running = run(&runtime);
    scenario(&pool, &runtime);
    let took = Instant::now().since_start();
    runtime.finish();
    running.join();
    assert_at_rest(&pool.stats());
    drop(pool);
    audit.assert_closed();
    took
}

/// Runs a runtime in a thread of its own.
pub fn run(runtime: &Handle) -> thread::JoinHandle<()> {
    let runtime = runtime.clone();
    thread::spawn(move || runtime.run())
}

/// A thread that sends one request and settles it.
pub fn caller(pool: &Pool, runtime: &Handle) -> thread::JoinHandle<()> {
    let (pool, runtime) = (pool.clone(), runtime.clone());
    thread::spawn(move || runtime.block_on(serve(&pool)))
}

/// Sends one request and settles it.
pub async fn serve(pool: &Pool) {
    let permit = pool.acquire(ONE).await.unwrap();
    permit.settle(ONE);
}

/// Polls once, as somebody who does not hear when it is woken. Whether it is done.
pub fn poll_once<F: Future>(runtime: &Handle, future: Pin<&mut F>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    runtime.enter(|| future.poll(&mut cx).is_ready())
}

/// Every admission is accounted for, exactly once.
pub fn assert_settled(stats: &Stats) {
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
pub fn assert_at_rest(stats: &Stats) {
    assert_settled(stats);
    assert_eq!(
        (stats.in_flight, stats.reserved, stats.waiting),
        (0, 0, 0),
        "{stats}"
    );
}
