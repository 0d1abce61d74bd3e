//! Wakers are woken and dropped with the pool's lock released: both may come back to the pool.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proactive_rate_limit::tracker::model::runtime::Handle;
use proactive_rate_limit::{Limit, Pool};
use proactive_rate_limit_model::{ONE, PATIENT, World, check, elapsed, per_second, poll_once};

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads the account when it is woken, and keeps another waiter until it is dropped: as the last
/// waker of a task does, which owns whatever the task owns.
struct Meddler {
    pool: Pool,
    _kept: Mutex<Waiting>,
}

impl Meddler {
    fn waker(pool: &Pool, runtime: &Handle) -> Waker {
        let mut kept = waiting(pool);
        assert!(!poll_once(runtime, kept.as_mut()), "there was no room");
        Waker::from(Arc::new(Self {
            pool: pool.clone(),
            _kept: Mutex::new(kept),
        }))
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        assert!(self.pool.stats().waiting >= 1);
        assert!(self.pool.try_acquire(ONE).is_err(), "others wait");
    }
}

/// Whoever acquires and never sends.
fn waiting(pool: &Pool) -> Waiting {
    let pool = pool.clone();
    Box::pin(async move { drop(pool.acquire(ONE).await) })
}

fn poll_with(waker: &Waker, future: &mut Waiting) -> Poll<()> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// Its waker is dropped when it is polled with another one, when it is admitted or when it leaves,
/// and woken if the settlement comes in between.
#[test]
fn a_waker_may_come_back_to_the_pool() {
    check(2, || {
        World::play(Limit::concurrent(1), PATIENT, |world| {
            let permit = world.pool.try_acquire(ONE).unwrap();
            let runtime = world.runtime.clone();
            let [first, second] = [(); 2].map(|()| Meddler::waker(&world.pool, &runtime));
            let meddling = world.thread(|pool| async move {
                let mut meddling = waiting(&pool);
                for waker in [first, second] {
                    if poll_with(&waker, &mut meddling).is_ready() {
                        break;
                    }
                }
            });
            permit.settle(ONE);
            meddling.join();
            assert_eq!(elapsed(), Duration::ZERO);
        });
    });
}

/// Here it is the driver that wakes, and each poll replaces the waker twice.
#[test]
fn a_driver_wakes_outside_the_lock() {
    check(2, || {
        World::play(per_second(1), PATIENT, |world| {
            world.pool.try_acquire(ONE).unwrap().settle(ONE);
            let runtime = world.runtime.clone();
            let waker = Meddler::waker(&world.pool, &runtime);
            let meddling = world.thread(|pool| async move {
                let mut meddling = waiting(&pool);
                poll_fn(|cx| match poll_with(&waker, &mut meddling) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => poll_with(cx.waker(), &mut meddling),
                })
                .await;
            });
            meddling.join();
        });
    });
}
