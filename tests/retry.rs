//! Retries outside of the layer, on a paused clock: when each attempt reaches the provider, how often,
//! and with what it ends.

mod support;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use proactive_rate_limit::retry::RetryPolicy;
use proactive_rate_limit::{
    BoxError, Limit, ProactiveRateLimitLayer, RateLimitError, RateLimitTracker, ResponseBody,
    Spacing, TokenEstimate, provider,
};
use support::{Body, Script, assert_at_rest, exactly, layer, request, tier, timed};
use tokio::time::{Instant, sleep, timeout};
use tower::retry::budget::{Budget, TpsBudget};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

type Headers = &'static [(&'static str, &'static str)];

const MINUTE: Duration = Duration::from_secs(60);

const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","code":"insufficient_quota"}}"#;
const TOO_LARGE: &str = r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31756.","type":"tokens","code":"rate_limit_exceeded"}}"#;

/// What the provider does with a request.
#[derive(Clone, Copy)]
enum Line {
    Answer(u16, Headers, &'static str),
    Fail(io::ErrorKind),
}

const OK: Line = Line::Answer(200, &[], "{}");
const THROTTLED: Line = throttled(&[]);

const fn throttled(headers: Headers) -> Line {
    Line::Answer(429, headers, "")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Follows a script, whose last line it repeats for ever, and notes when it is asked.
#[derive(Clone)]
struct Scripted {
    script: Arc<[Line]>,
    start: Instant,
    attempts: Arc<Mutex<Vec<Duration>>>,
}

impl Scripted {
    fn new(script: impl Into<Arc<[Line]>>) -> Self {
        Self {
            script: script.into(),
            start: Instant::now(),
            attempts: Arc::default(),
        }
    }

    fn attempts(&self) -> Vec<Duration> {
        self.attempts.lock().unwrap().clone()
    }

    fn answer(&self) -> Result<Response<Body>, BoxError> {
        let mut attempts = self.attempts.lock().unwrap();
        let line = self.script[attempts.len().min(self.script.len() - 1)];
        attempts.push(self.start.elapsed());
        match line {
            Line::Answer(status, headers, body) => {
                let response = Response::builder().status(status);
                let response = headers.iter().fold(response, |response, (name, value)| {
                    response.header(*name, *value)
                });
                Ok(response.body(Full::new(Bytes::from(body)))?)
            }
            Line::Fail(kind) => Err(io::Error::from(kind).into()),
        }
    }
}

/// A layer that holds nobody up by itself.
fn open() -> ProactiveRateLimitLayer {
    layer([exactly(1_000_000, MINUTE)]).spacing(Spacing::Off)
}

/// Without anything random.
fn policy() -> RetryPolicy {
    RetryPolicy::new().random(|| 0.0)
}

type Answered = Result<Response<ResponseBody<Body>>, BoxError>;

/// Sends one request, by the way of the policy and the layer.
fn send(
    policy: &RetryPolicy,
    layer: &ProactiveRateLimitLayer,
    provider: &Scripted,
) -> impl Future<Output = Answered> + Send + use<> {
    let provider = provider.clone();
    let client = ServiceBuilder::new()
        .retry(policy.clone())
        .layer(layer.clone())
        .service_fn(move |_: Request<Body>| std::future::ready(provider.answer()));
    client.oneshot(request())
}

/// When the provider was asked, when that was over, and the status in the end.
async fn run(policy: RetryPolicy, script: &[Line]) -> (Vec<Duration>, Duration, u16) {
    let (provider, layer) = (Scripted::new(script), open());
    let (elapsed, answer) = timed(send(&policy, &layer, &provider)).await;
    let status = answer.unwrap().status().as_u16();
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    let attempts = provider.attempts();
    assert_eq!(stats.total_requests, attempts.len() as u64, "each admitted");
    (attempts, elapsed, status)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_retried_and_then_answered() {
    let (attempts, elapsed, status) = run(policy(), &[THROTTLED, OK]).await;
    assert_eq!(attempts, [0, 1].map(secs));
    assert_eq!((elapsed, status), (secs(1), 200));
}

/// The original made 500 attempts at this, without an end.
#[tokio::test(start_paused = true)]
async fn a_persistent_429_costs_five_attempts_the_last_of_them_90_s_after_the_fourth() {
    let (attempts, elapsed, status) = run(policy(), &[THROTTLED]).await;
    assert_eq!(attempts, [0, 1, 3, 7, 97].map(secs));
    assert_eq!((elapsed, status), (secs(97), 429), "and gives up at once");

    let again = [THROTTLED, THROTTLED, THROTTLED, THROTTLED, OK];
    let (attempts, elapsed, status) = run(policy(), &again).await;
    assert_eq!(attempts, [0, 1, 3, 7, 97].map(secs));
    assert_eq!((elapsed, status), (secs(97), 200));
}

#[tokio::test(start_paused = true)]
async fn the_numbers_are_the_users_to_choose() {
    let few = policy()
        .max_retries(1)
        .back_off(millis(200), secs(60))
        .final_attempt_after(secs(30));
    let (attempts, ..) = run(few, &[THROTTLED]).await;
    // The pool holds everybody for a second after a refusal that does not say for how long.
    assert_eq!(attempts, [0, 1, 31].map(secs));
    let (attempts, ..) = run(policy().without_final_attempt(), &[THROTTLED]).await;
    assert_eq!(attempts, [0, 1, 3, 7].map(secs));
    let bounded = policy().max_retries(6).back_off(secs(5), secs(40));
    let (attempts, ..) = run(bounded, &[THROTTLED]).await;
    assert_eq!(attempts, [0, 5, 15, 35, 75, 115, 155, 245].map(secs));
    let none = policy().max_retries(0).without_final_attempt();
    let (attempts, ..) = run(none, &[THROTTLED]).await;
    assert_eq!(attempts, [0].map(secs));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_once() {
    let date: Headers = &[
        ("date", "Mon, 23 Nov 2026 00:00:00 GMT"),
        ("retry-after", "Mon, 23 Nov 2026 00:00:07 GMT"),
    ];
    let forms: [Headers; 4] = [
        &[("retry-after", "7")],
        &[("retry-after", "7.0")],
        &[("retry-after-ms", "7000"), ("retry-after", "9")],
        date,
    ];
    for headers in forms {
        for status in [429, 503, 529] {
            let refused = Line::Answer(status, headers, "");
            let (attempts, elapsed, end) = run(policy(), &[refused, OK]).await;
            assert_eq!(attempts, [0, 7].map(secs), "{status}, {headers:?}");
            assert_eq!((elapsed, end), (secs(7), 200));
        }
    }
    let (attempts, ..) = run(policy(), &[throttled(&[("retry-after", "7")])]).await;
    assert_eq!(attempts, [0, 7, 14, 21, 111].map(secs));
    // Shorter than the back-off, and none at all.
    let (attempts, ..) = run(policy(), &[throttled(&[("retry-after", "1")])]).await;
    assert_eq!(attempts, [0, 1, 3, 7, 97].map(secs));
    let (attempts, ..) = run(policy(), &[throttled(&[("retry-after", "0")])]).await;
    assert_eq!(attempts, [0, 1, 3, 7, 97].map(secs));
    // Longer than it takes until the final attempt.
    let (attempts, ..) = run(policy(), &[throttled(&[("retry-after", "100")])]).await;
    assert_eq!(attempts, [0, 100, 200, 300, 400].map(secs));
}

/// Only the body says for how long. The layer has read it.
#[tokio::test(start_paused = true)]
async fn a_wait_in_the_body_is_honoured() {
    let body = r#"{"error":{"message":"Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.","type":"requests","code":"rate_limit_exceeded"}}"#;
    let (attempts, ..) = run(policy(), &[Line::Answer(429, &[], body), OK]).await;
    assert_eq!(attempts, [0, 20].map(secs));
}

/// The pool may pause for less than the provider asks for; the retry does not.
#[tokio::test(start_paused = true)]
async fn nothing_is_retried_earlier_than_asked_for() {
    let provider = Scripted::new([throttled(&[("retry-after", "100")])]);
    let layer = open().max_hold(secs(10));
    send(&policy(), &layer, &provider).await.unwrap();
    assert_eq!(provider.attempts(), [0, 100, 200, 300, 400].map(secs));
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_than_there_is_patience_for_is_passed_on_at_once() {
    let in_301_s = throttled(&[("retry-after", "301")]);
    let (attempts, elapsed, status) = run(policy(), &[in_301_s]).await;
    assert_eq!(attempts, [Duration::ZERO]);
    assert_eq!((elapsed, status), (Duration::ZERO, 429));
    let (attempts, ..) = run(policy().patience(secs(5)), &[THROTTLED, in_301_s]).await;
    assert_eq!(attempts, [0, 1].map(secs));
    // A day's quota, and not a word of when it is there again.
    let day = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota.","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#;
    let provider = Scripted::new([Line::Answer(429, &[], day)]);
    let layer = ProactiveRateLimitLayer::new(
        proactive_rate_limit::Tier::builder("gemini", "test-model")
            .limit(exactly(1_000, MINUTE))
            .build()
            .unwrap(),
    )
    .tracker(&RateLimitTracker::new());
    let gemini = policy().provider(provider::by_name("gemini"));
    let answer = send(&gemini, &layer, &provider).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(provider.attempts(), [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn jitter_adds_and_never_takes_away() {
    // Of 1 s, 2 s and 4 s up to half is added, and nothing to the final 90 s.
    let drawn = Mutex::new(vec![0.5, 1.0, 0.25].into_iter());
    let policy = RetryPolicy::new().random(move || drawn.lock().unwrap().next().unwrap());
    let (attempts, ..) = run(policy, &[THROTTLED]).await;
    let expected = [0, 1_250, 4_250, 8_750, 98_750].map(millis);
    assert_eq!(attempts, expected);

    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let rng = Mutex::new(fastrand::Rng::with_seed(seed));
    let policy = RetryPolicy::new()
        .jitter(1.0)
        .random(move || rng.lock().unwrap().f64());
    let mut waits = Vec::new();
    for _ in 0..100 {
        let asked = throttled(&[("retry-after", "3")]);
        let (attempts, ..) = run(policy.clone(), &[asked, OK]).await;
        waits.push(attempts[1]);
    }
    // A timer of tokio's may be a millisecond late.
    assert!(waits.iter().all(|wait| *wait >= secs(3)), "seed {seed}");
    assert!(
        waits.iter().all(|wait| *wait <= millis(4_001)),
        "seed {seed}"
    );
    assert!(
        waits.iter().any(|wait| *wait < millis(3_500)),
        "seed {seed}"
    );
    assert!(
        waits.iter().any(|wait| *wait > millis(3_500)),
        "seed {seed}"
    );
    // Without a generator of the user's.
    let (attempts, ..) = run(RetryPolicy::new(), &[THROTTLED, OK]).await;
    assert!((secs(1)..=millis(1_501)).contains(&attempts[1]));
}

#[tokio::test(start_paused = true)]
async fn what_waiting_cannot_fix_is_passed_on_at_once() {
    let cases: [(u16, Headers, &'static str); 13] = [
        (429, &[("retry-after", "1")], QUOTA),
        (429, &[("retry-after", "1")], TOO_LARGE),
        (429, &[("x-should-retry", "false")], ""),
        (402, &[("retry-after", "1")], ""),
        (413, &[("retry-after", "1")], ""),
        (400, &[("retry-after", "1")], ""),
        (401, &[], ""),
        (404, &[], ""),
        (408, &[], ""),
        (500, &[("retry-after", "1")], ""),
        (502, &[], ""),
        (504, &[], ""),
        (307, &[("location", "/elsewhere")], ""),
    ];
    for (status, headers, body) in cases {
        let line = Line::Answer(status, headers, body);
        let (attempts, elapsed, end) = run(policy(), &[line, OK]).await;
        assert_eq!(attempts, [Duration::ZERO], "{status} {headers:?} {body}");
        assert_eq!((elapsed, end), (Duration::ZERO, status));
    }
    // Unless the provider says so.
    let line = Line::Answer(500, &[("x-should-retry", "true")], "");
    let (attempts, ..) = run(policy(), &[line, OK]).await;
    assert_eq!(attempts, [0, 1].map(secs));
}

fn rate_limit_error(answer: Answered) -> RateLimitError {
    let error = answer.unwrap_err();
    error.downcast_ref::<RateLimitError>().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn what_the_layer_refuses_is_passed_on_at_once() {
    // Not even if somebody says that it was never sent, as is true.
    let policy = || policy().never_sent(|_| true);
    let provider = Scripted::new([Line::Answer(429, &[], QUOTA)]);
    let never = Scripted::new([OK]);

    // Larger than the limit.
    let small = layer([Limit::tokens(100).per(MINUTE)]);
    let client = ServiceBuilder::new()
        .retry(policy())
        .layer(small)
        .service_fn(|_: Request<Body>| std::future::ready(never.answer()));
    let mut large = request();
    large.extensions_mut().insert(TokenEstimate::new(0, 1_000));
    let (elapsed, answer) = timed(client.oneshot(large)).await;
    let error = rate_limit_error(answer);
    assert!(
        matches!(error, RateLimitError::RequestTooLarge(_)),
        "{error}"
    );
    assert_eq!(elapsed, Duration::ZERO);

    // The account is exhausted, as an answer to another request said.
    let closed = open();
    send(&policy(), &closed, &provider).await.unwrap();
    let (elapsed, answer) = timed(send(&policy(), &closed, &never)).await;
    let error = rate_limit_error(answer);
    assert!(matches!(error, RateLimitError::Exhausted(_)), "{error}");
    assert_eq!(elapsed, Duration::ZERO);

    // The user does not want to wait that long.
    let busy = layer([exactly(1, MINUTE)]).max_wait(secs(10));
    let asked = Scripted::new([OK]);
    send(&policy(), &busy, &asked).await.unwrap();
    let (elapsed, answer) = timed(send(&policy(), &busy, &never)).await;
    let error = rate_limit_error(answer);
    assert!(matches!(error, RateLimitError::WaitTooLong(_)), "{error}");
    assert_eq!(elapsed, Duration::ZERO);

    assert_eq!(never.attempts(), []);
}

#[tokio::test(start_paused = true)]
async fn only_a_request_that_was_never_sent_is_sent_again() {
    let refused = Line::Fail(io::ErrorKind::ConnectionRefused);
    let (attempts, elapsed, status) = run(policy(), &[refused, refused, OK]).await;
    assert_eq!(attempts, [0, 1, 3].map(secs));
    assert_eq!((elapsed, status), (secs(3), 200));

    // It may have been worked upon, and charged.
    let provider = Scripted::new([Line::Fail(io::ErrorKind::ConnectionReset), OK]);
    let layer = open();
    let error = send(&policy(), &layer, &provider).await.unwrap_err();
    let error = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(provider.attempts(), [Duration::ZERO]);
    assert_eq!(layer.stats().unwrap().abandoned, 1);

    // Somebody who knows better.
    let never_sent = policy().never_sent(|error| error.is::<io::Error>());
    let reset = Line::Fail(io::ErrorKind::ConnectionReset);
    let (attempts, ..) = run(never_sent, &[reset, OK]).await;
    assert_eq!(attempts, [0, 1].map(secs));

    // For ever.
    let (provider, layer) = (Scripted::new([refused]), open());
    send(&policy(), &layer, &provider).await.unwrap_err();
    assert_eq!(provider.attempts(), [0, 1, 3, 7, 97].map(secs));
}

/// The budget of the provider bounds retries as it bounds requests.
#[tokio::test(start_paused = true)]
async fn every_attempt_is_admitted_anew() {
    let provider = Scripted::new([Line::Answer(503, &[], "")]);
    let layer = layer([exactly(2, MINUTE)]).spacing(Spacing::Off);
    send(&policy(), &layer, &provider).await.unwrap();
    // At 0 s and 1 s both are used; the third waits for the window, the fourth for its back-off, too.
    assert_eq!(provider.attempts(), [0, 1, 60, 64, 154].map(secs));
    assert_at_rest(&layer.stats().unwrap());
}

/// Why the order matters.
#[tokio::test(start_paused = true)]
async fn retries_below_the_layer_are_not_counted() {
    let provider = Scripted::new([THROTTLED, THROTTLED, OK]);
    let (answers, layer) = (provider.clone(), open());
    let client = ServiceBuilder::new()
        .layer(layer.clone())
        .retry(policy())
        .service_fn(move |_: Request<Body>| std::future::ready(answers.answer()));
    client.oneshot(request()).await.unwrap();
    assert_eq!(provider.attempts().len(), 3);
    assert_eq!(layer.stats().unwrap().total_requests, 1);
}

/// A caller that polls for its next request must not starve the retry of its first.
#[tokio::test(start_paused = true)]
async fn a_retry_behind_a_ready_completes() {
    let provider = Scripted::new([Line::Answer(503, &[], ""), OK]);
    let answers = provider.clone();
    let mut client = ServiceBuilder::new()
        .retry(policy())
        .layer(layer([exactly(2, MINUTE)]).spacing(Spacing::Off))
        .service_fn(move |_: Request<Body>| std::future::ready(answers.answer()));
    let first = client.ready().await.unwrap().call(request());
    let first = tokio::spawn(first);
    sleep(millis(950)).await;
    let next = client.ready().await.unwrap();
    let answer = timeout(secs(2), first).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    next.call(request()).await.unwrap();
    // What the idle caller holds is kept for it for a tenth of a second.
    assert_eq!(provider.attempts(), [millis(0), millis(1_050), secs(60)]);
}

/// Everything is refused, to many at once. All give up, and few have to ask: the pool lets one find out
/// for the others.
#[tokio::test(start_paused = true)]
async fn callers_of_a_persistent_429_all_give_up() {
    let (provider, layer) = (Scripted::new([THROTTLED]), open());
    let callers: Vec<_> = (0..100)
        .map(|_| tokio::spawn(send(&policy(), &layer, &provider)))
        .collect();
    let (mut refused, mut waited) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(answer) => {
                assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
                refused += 1;
            }
            Err(error) => {
                let error = error.downcast_ref::<RateLimitError>();
                assert!(matches!(error, Some(RateLimitError::WaitTooLong(_))));
                waited += 1;
            }
        }
    }
    let attempts = provider.attempts();
    println!(
        "{} attempts until {:?}; {refused} gave up, {waited} could not wait longer",
        attempts.len(),
        provider.start.elapsed()
    );
    assert_eq!(refused + waited, 100);
    assert!(attempts.len() < 100, "{}", attempts.len());
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_budget_bounds_the_retries_of_all() {
    // A retry for every two that succeed, and none to begin with.
    let policy = policy().budget(TpsBudget::new(MINUTE, 0, 0.5));
    let layer = open();
    for _ in 0..4 {
        send(&policy, &layer, &Scripted::new([OK])).await.unwrap();
    }
    let provider = Scripted::new([THROTTLED]);
    let (elapsed, answer) = timed(send(&policy, &layer, &provider)).await;
    assert_eq!(answer.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(provider.attempts(), [0, 1, 3].map(secs));
    assert_eq!(elapsed, secs(3), "given up as soon as nothing is left");
    // Nothing is left for others, either.
    let provider = Scripted::new([Line::Answer(503, &[], "")]);
    send(&policy.clone(), &open(), &provider).await.unwrap();
    assert_eq!(provider.attempts(), [Duration::ZERO]);
}

/// Counts what is asked of it.
#[derive(Clone, Default)]
struct Unlimited {
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Budget for Unlimited {
    fn deposit(&self) {
        self.log.lock().unwrap().push("deposit");
    }

    fn withdraw(&self) -> bool {
        self.log.lock().unwrap().push("withdraw");
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_the_users_own_sees_retries_and_successes_only() {
    let budget = Unlimited::default();
    let policy = policy().budget(budget.clone());
    let quota = Line::Answer(429, &[], QUOTA);
    run(policy.clone(), &[quota]).await;
    run(policy.clone(), &[Line::Answer(500, &[], "")]).await;
    assert_eq!(*budget.log.lock().unwrap(), [""; 0]);
    run(policy.clone(), &[THROTTLED, OK]).await;
    assert_eq!(*budget.log.lock().unwrap(), ["withdraw", "deposit"]);
    budget.log.lock().unwrap().clear();
    run(policy, &[THROTTLED]).await;
    assert_eq!(*budget.log.lock().unwrap(), ["withdraw"; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_after_its_head_is_not_retried() {
    let provider = Scripted::new([OK]);
    let asked = provider.clone();
    let layer = open();
    let client = ServiceBuilder::new()
        .retry(policy())
        .layer(layer.clone())
        .service_fn(move |_: Request<Body>| {
            asked.answer().unwrap();
            let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
            let frames = vec![
                Ok(Frame::data(Bytes::from(chunk))),
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            ];
            let response = Response::builder()
                .header("content-type", "text/event-stream")
                .body(Script::new(frames, false))
                .unwrap();
            std::future::ready(Ok::<_, BoxError>(response))
        });
    let mut body = client.oneshot(request()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_err());
    drop(body);
    sleep(MINUTE).await;
    assert_eq!(provider.attempts(), [Duration::ZERO]);
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_while_backing_off_leaves_nothing_behind() {
    let (provider, layer) = (
        Scripted::new([throttled(&[("retry-after", "7")]), OK]),
        open(),
    );
    let left = timeout(millis(6_999), send(&policy(), &layer, &provider)).await;
    assert!(left.is_err());
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!(stats.total_requests, 1);
    // The next one waits for what is left of the pause, and for nobody.
    send(&policy(), &layer, &provider).await.unwrap();
    assert_eq!(provider.attempts(), [0, 7].map(secs));
    sleep(10 * MINUTE).await;
    assert_eq!(provider.attempts().len(), 2);
}

/// A response body that tells when it is gone.
struct Noted(Arc<AtomicBool>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// It may hold a connection.
#[tokio::test(start_paused = true)]
async fn a_failed_response_is_dropped_before_the_wait() {
    let dropped = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&dropped);
    let client = ServiceBuilder::new()
        .retry(policy())
        .layer(open())
        .service_fn(move |_: Request<Body>| {
            let noted = Noted(Arc::clone(&note));
            let body = Full::new(Bytes::from_static(b"overloaded"))
                .map_frame(move |frame| {
                    let _ = &noted;
                    frame
                })
                .map_err(BoxError::from);
            let response = Response::builder().status(503);
            let response = response.body(UnsyncBoxBody::new(body)).unwrap();
            std::future::ready(Ok::<_, BoxError>(response))
        });
    let waiting = tokio::spawn(client.oneshot(request()));
    sleep(millis(1)).await;
    assert!(!waiting.is_finished());
    assert!(dropped.load(Ordering::SeqCst));
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_the_same_request() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let provider = Scripted::new([THROTTLED, OK]);
    let layer = layer([Limit::tokens(1_000_000).per(MINUTE)]);
    let log = Arc::clone(&seen);
    let client = ServiceBuilder::new()
        .retry(policy())
        .layer(layer.clone())
        .service_fn(move |request: Request<Body>| {
            let (provider, log) = (provider.clone(), Arc::clone(&log));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let estimate = head.extensions.get::<TokenEstimate>().copied();
                let line = (head.method, head.uri, head.headers, estimate, body);
                log.lock().unwrap().push(line);
                provider.answer()
            }
        });
    let mut request = Request::post("https://api.openai.com/v1/responses?x=1")
        .header("x-mine", "1")
        .body(Full::new(Bytes::from_static(b"{\"model\":\"gpt-4o\"}")))
        .unwrap();
    let estimate = TokenEstimate::new(30, 400);
    request.extensions_mut().insert(estimate);
    client.oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(
        (seen[0].3, &seen[0].4[..]),
        (Some(estimate), &b"{\"model\":\"gpt-4o\"}"[..])
    );
}

/// By the host of the request, unless told.
#[tokio::test(start_paused = true)]
async fn answers_are_read_in_the_dialect_of_their_provider() {
    let attempts = async |policy: RetryPolicy, url: &'static str| {
        // Groq's own status for an overload.
        let provider = Scripted::new([Line::Answer(498, &[], ""), OK]);
        let answers = provider.clone();
        let client = ServiceBuilder::new()
            .retry(policy)
            .layer(open())
            .service_fn(move |_: Request<Body>| std::future::ready(answers.answer()));
        let request = Request::post(url).body(Body::default()).unwrap();
        client.oneshot(request).await.unwrap();
        provider.attempts().len()
    };
    let groq = "https://api.groq.com/openai/v1/chat/completions";
    let gateway = "https://gateway.test/v1/chat/completions";
    assert_eq!(attempts(policy(), groq).await, 2);
    assert_eq!(attempts(policy(), gateway).await, 1);
    let told = policy().provider(provider::by_name("groq"));
    assert_eq!(attempts(told, gateway).await, 2);
}

/// It reads responses by itself, too.
#[tokio::test(start_paused = true)]
async fn the_policy_works_without_the_layer() {
    let provider = Scripted::new([throttled(&[("retry-after", "7")]), OK]);
    let answers = provider.clone();
    let client = ServiceBuilder::new()
        .retry(policy())
        .service_fn(move |_: Request<Body>| std::future::ready(answers.answer()));
    client.oneshot(request()).await.unwrap();
    assert_eq!(provider.attempts(), [0, 7].map(secs));
}

#[test]
fn the_stack_can_be_boxed_and_shared() {
    fn is_sync<T: Send + Sync + Clone + 'static>(_: &T) {}
    let layer =
        ProactiveRateLimitLayer::new(tier([exactly(1, MINUTE)])).tracker(&RateLimitTracker::new());
    let client = service_fn(|_: Request<Body>| std::future::ready(Scripted::new([OK]).answer()));
    let retry = tower::retry::RetryLayer::new(RetryPolicy::default());
    let stack = retry.layer(layer.layer(client));
    is_sync(&stack);
    let _: BoxCloneSyncService<_, _, _> = ServiceBuilder::new().boxed_clone_sync().service(stack);
    let debug = format!("{:?}", RetryPolicy::default());
    assert!(debug.contains("max_retries: 3"), "{debug}");
}
