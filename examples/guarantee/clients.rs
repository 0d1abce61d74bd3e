//! What users do without this crate: the two clients that the chart compares with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use proactive_rate_limit::simulator::Simulator;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::case::Case;
use crate::run::{is_refusal, request};

const WORKERS: usize = 64;

/// Sends as fast as it is answered, and waits as long as it is told to when refused.
pub(crate) async fn plain(simulator: &Simulator, case: &Case, span: Duration) {
    work(simulator, case, span, None).await;
}

/// The same behind a token bucket: `amount` at once, and one more each `window / amount`.
pub(crate) async fn token_bucket(simulator: &Simulator, case: &Case, span: Duration) {
    let limit = case.binding();
    let amount = u32::try_from(limit.amount()).unwrap_or(u32::MAX);
    let bucket = Bucket {
        interval: limit.window() / amount,
        burst: limit.window(),
        empty_until: Instant::now(),
    };
    work(simulator, case, span, Some(Arc::new(Mutex::new(bucket)))).await;
}

/// A token bucket as a point in time, as in GCRA: when the tokens that were taken are back.
struct Bucket {
    interval: Duration,
    burst: Duration,
    empty_until: Instant,
}

impl Bucket {
    /// Takes one token. When it may be used.
    fn take(&mut self, now: Instant) -> Instant {
        self.empty_until = self.empty_until.max(now) + self.interval;
        now.max(self.empty_until - self.burst)
    }
}

async fn work(
    simulator: &Simulator,
    case: &Case,
    span: Duration,
    bucket: Option<Arc<Mutex<Bucket>>>,
) {
    let end = Instant::now() + span;
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (simulator, case, bucket) = (simulator.clone(), case.clone(), bucket.clone());
        workers.spawn(async move {
            while Instant::now() < end {
                if let Some(bucket) = &bucket {
                    sleep_until(take(bucket).min(end)).await;
                }
                let response = simulator.handle(request(&case)).await;
                let refused = is_refusal(response.status());
                let told = response.headers().get(RETRY_AFTER).cloned();
                let _ = response.into_body().collect().await;
                if refused {
                    let seconds = told.and_then(|told| told.to_str().ok()?.parse().ok());
                    sleep(Duration::from_secs(seconds.unwrap_or(1))).await;
                }
            }
        });
    }
    workers.join_all().await;
}

fn take(bucket: &Mutex<Bucket>) -> Instant {
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    bucket.take(Instant::now())
}
