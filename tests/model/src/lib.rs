//! The tracker's locks and wake-ups, checked in every order in which threads can take the locks, with
//! at most two or three switches away from a thread that could go on.
//!
//! ```text
//! cd tests/model && cargo test
//! ```
//!
//! The tracker is compiled against [Loom](https://docs.rs/loom), by a cfg that `.cargo/config.toml`
//! sets; it is not loom's own cfg, since Tokio would follow that too. Loom and not a checker that
//! draws schedules at random: the protocol is one lock and what is done after it is released, and
//! that is little enough to see nearly all of. Many threads at random are what `tests/stress.rs` plays.
//!
//! Time stands still while anybody has something to do, so that how long something took is exact; a
//! runtime that is [`HASTY`] lets a little pass at any moment, as slow callers do.

#[cfg(not(proactive_rate_limit_model))]
compile_error!("no model without its cfg: run cargo in tests/model, with RUSTFLAGS unset");

mod audit;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use proactive_rate_limit::tracker::model::runtime::Handle;
use proactive_rate_limit::tracker::model::thread::{self, JoinHandle};
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

/// A pool whose every step is audited, and a runtime to watch its line.
pub struct World {
    /// The pool.
    pub pool: Pool,
    /// The runtime; somebody runs it.
    pub runtime: Handle,
    audit: Audit,
}

impl World {
    /// Lets `scenario` use a world, and looks at it at the end: everybody was served or has gone,
    /// everything is accounted for, and no driver is left. Gives what `scenario` does.
    pub fn play<T>(limit: Limit, haste: Duration, scenario: impl FnOnce(&Self) -> T) -> T {
        let audit = Audit::of(limit);
        let world = Self {
            pool: audit.pool(limit),
            runtime: Handle::new(haste),
            audit,
        };
        let running = run(&world.runtime);
        let outcome = scenario(&world);
        world.runtime.finish();
        running.join();
        assert_at_rest(&world.pool.stats());
        drop(world.pool);
        world.audit.assert_closed();
        outcome
    }

    /// When requests were sent until now.
    pub fn sent(&self) -> Vec<Duration> {
        self.audit.sent()
    }

    /// A thread that does `work` with the pool, and may wait.
    pub fn thread<F, T>(&self, work: impl FnOnce(Pool) -> F + 'static) -> JoinHandle<T>
    where
        F: Future<Output = T>,
        T: 'static,
    {
        let (pool, runtime) = (self.pool.clone(), self.runtime.clone());
        thread::spawn(move || runtime.block_on(work(pool)))
    }

    /// A thread that sends one request and settles it.
    pub fn caller(&self) -> JoinHandle<()> {
        self.thread(serve)
    }

    /// Polls once, as somebody who does not hear when it is woken. Whether it is done.
    pub fn poll_once<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> bool {
        poll_once(&self.runtime, future)
    }
}

/// Runs a runtime in a thread of its own.
pub fn run(runtime: &Handle) -> JoinHandle<()> {
    let runtime = runtime.clone();
    thread::spawn(move || runtime.run())
}

/// Sends one request and settles it.
pub async fn serve(pool: Pool) {
    let permit = pool.acquire(ONE).await.unwrap();
    permit.settle(ONE);
}

/// Polls once in this runtime, as somebody who does not hear when it is woken. Whether it is done.
pub fn poll_once<F: Future + ?Sized>(runtime: &Handle, future: Pin<&mut F>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    runtime.enter(|| future.poll(&mut cx).is_ready())
}

/// The time since the execution began.
pub fn elapsed() -> Duration {
    Instant::now().since_start()
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
