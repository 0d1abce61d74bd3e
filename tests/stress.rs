//! Real threads of several runtimes, and one of a foreign executor, use one pool through the layer
//! for all they are worth, and treat it badly. The server never sees more than is allowed,
//! everybody gets done, and everything is accounted for.

mod support;

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::{join_all, try_join_all};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::{Cost, Limit, ProactiveRateLimit, ProactiveRateLimitLayer, Spacing};
use support::{Body, assert_at_rest, assert_settled, exactly, layer, request};
use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt};

const CALLERS_PER_THREAD: u64 = 24;
const ROUNDS: usize = 60;

/// Far more than it takes: so that a caller that is stranded is a failure and not a hanging test.
const FOR_EVER: Duration = Duration::from_secs(120);

/// A server that answers after a few turns, and sees how many requests are under way and when each
/// came.
#[derive(Clone, Default)]
struct Server(Arc<Seen>);

#[derive(Default)]
struct Seen {
    under_way: AtomicU64,
    most_under_way: AtomicU64,
    came: Mutex<Vec<Instant>>,
}

/// One request under way, until its body is read or dropped.
struct UnderWay(Arc<Seen>);

impl Server {
    fn enter(&self) -> UnderWay {
        let under_way = self.0.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        self.0.came.lock().unwrap().push(Instant::now());
        UnderWay(Arc::clone(&self.0))
    }

    /// The most requests that came within one window.
    fn worst(&self, window: Duration) -> usize {
        let mut came = self.0.came.lock().unwrap().clone();
        came.sort();
        let within = |&first: &Instant| {
            came.iter()
                .filter(move |at| **at >= first && **at < first + window)
        };
        came.iter()
            .map(|first| within(first).count())
            .max()
            .unwrap_or(0)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let under_way = self.enter();
        let turns = self.0.came.lock().unwrap().len() % 4;
        Box::pin(async move {
            for _ in 0..turns {
                yield_now().await;
            }
            Ok(Response::new(Answer {
                body: Full::from("{}"),
                under_way: Some(under_way),
            }))
        })
    }
}

struct Answer {
    body: Full<Bytes>,
    under_way: Option<UnderWay>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if self.body.is_end_stream() {
            self.under_way = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type Limited = ProactiveRateLimit<Server>;

/// Polls once and does not listen.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Sends requests, one after the other, and does with them what is done with requests. Gives what
/// it keeps.
async fn caller(layer: ProactiveRateLimitLayer, server: Server, seed: u64) -> Vec<Limited> {
    let mut rng = Rng::with_seed(seed);
    let pool = layer.pool().unwrap();
    let mut service = layer.layer(server);
    let mut kept = Vec::new();
    for _ in 0..ROUNDS {
        match rng.u8(0..16) {
            // A wait that is given up, the service dropped or used again.
            0 => {
                let patience = Duration::from_micros(rng.u64(0..2_000));
                let _ = timeout(patience, service.ready()).await;
                if rng.bool() {
                    service = service.clone();
                }
            }
            // A clone that was asked once, and is kept.
            1 => {
                let mut clone = service.clone();
                let _ = poll_once(clone.ready());
                kept.push(clone);
            }
            // Ready, and never called.
            2 => {
                service.ready().await.unwrap();
                service = service.clone();
            }
            // Called, and the response is not waited for.
            3 => drop(service.ready().await.unwrap().call(request())),
            4 => {
                let response = service.ready().await.unwrap().call(request());
                let _ = poll_once(response);
            }
            // Called late.
            5 => {
                service.ready().await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                let response = service.call(request()).await.unwrap();
                response.into_body().collect().await.unwrap();
            }
            // Answered, and the body is not read.
            6 => drop(
                service
                    .ready()
                    .await
                    .unwrap()
                    .call(request())
                    .await
                    .unwrap(),
            ),
            // Without tower.
            7 => {
                let reservation = pool.reserve(Cost::request()).await.unwrap();
                if rng.bool() {
                    let permit = reservation.dispatch().await.unwrap();
                    permit.settle(Cost::request());
                }
            }
            8 => {
                if let Ok(mut permit) = pool.try_acquire(Cost::request()) {
                    permit.answered();
                    drop(permit);
                }
                assert_settled(&pool.stats());
            }
            _ => {
                let response = service.ready().await.unwrap().call(request());
                response.await.unwrap().into_body().collect().await.unwrap();
            }
        }
    }
    kept
}

/// Wakes a thread that sleeps until it is woken.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// An executor that is not Tokio's.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn runtime(threads: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()
        .unwrap()
}

/// Lets everybody loose on the pool of `layer`. Gives what the server saw.
fn play(layer: &ProactiveRateLimitLayer) -> Server {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let server = Server::default();
    let next_seed = AtomicU64::new(seed);
    let callers = || {
        let caller = || {
            let seed = next_seed.fetch_add(1, Ordering::Relaxed);
            let caller = caller(layer.clone(), server.clone(), seed);
            async { timeout(FOR_EVER, caller).await.expect("stranded") }
        };
        (0..CALLERS_PER_THREAD)
            .map(|_| caller())
            .collect::<Vec<_>>()
    };
    let runtimes = [runtime(1), runtime(2), runtime(3)];
    let kept = thread::scope(|scope| {
        let tokios = runtimes.each_ref().map(|runtime| {
            let callers = callers();
            scope.spawn(|| {
                let tasks: Vec<_> = callers.into_iter().map(|it| runtime.spawn(it)).collect();
                runtime.block_on(try_join_all(tasks)).unwrap()
            })
        });
        let foreign = {
            let (callers, handle) = (callers(), runtimes[0].handle());
            scope.spawn(|| {
                let _entered = handle.enter();
                block_on(join_all(callers))
            })
        };
        let threads = tokios.into_iter().chain([foreign]);
        threads
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(kept.len(), 4 * CALLERS_PER_THREAD as usize);
    assert_settled(&layer.stats().unwrap());
    drop(kept);
    let stats = layer.stats().unwrap();
    println!("{stats}");
    assert_at_rest(&stats);
    assert!(stats.scheduled_waits > 0, "nobody had to wait");
    assert_eq!(server.0.under_way.load(Ordering::SeqCst), 0);
    server
}

#[test]
fn few_slots_are_never_exceeded() {
    const SLOTS: u64 = 8;
    let layer = layer([Limit::concurrent(SLOTS)])
        .max_skew(Duration::from_micros(100))
        .settle_skew(Duration::ZERO)
        .grace(Duration::from_millis(2));
    let server = play(&layer);
    let most = server.0.most_under_way.load(Ordering::SeqCst);
    assert!(most <= SLOTS, "{most} at once");
}

#[test]
fn a_narrow_window_is_never_exceeded() {
    const AMOUNT: u64 = 400;
    const WINDOW: Duration = Duration::from_millis(50);
    // The skew has to cover what a busy machine takes between a stamp and the server's look.
    let layer = layer([exactly(AMOUNT, WINDOW)])
        .spacing(Spacing::Off)
        .max_skew(Duration::from_secs(1))
        .grace(Duration::from_millis(2));
    let server = play(&layer);
    let worst = server.worst(WINDOW);
    assert!(worst <= AMOUNT as usize, "{worst} within a window");
}
