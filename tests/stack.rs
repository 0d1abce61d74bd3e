//! The layer in real stacks on a network where things go wrong: hyper's client below it, redirects
//! and cancels around it. The judge is the provider's own report, and the layer's account must add
//! up.

mod support;

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use proactive_rate_limit::simulator::faults::{FaultKind, FaultReport, Faults, FaultyNetwork};
use proactive_rate_limit::simulator::{ChargedAt, Report, Simulator, SimulatorBuilder};
use proactive_rate_limit::{
    Anchor, BoxError, Charge, Limit, ProactiveRateLimitLayer, RateLimitTracker, Stats,
    TokenEstimate,
};
use support::loopback;
use support::piped::{PipedClient, Pipes, chat, client, piped_http1, piped_http2};
use support::{Body, assert_at_rest, tier_charging};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::follow_redirect::policy::{Limited, PolicyExt, clone_body_fn};

const URL: &str = "http://provider.test";
const WINDOW: Duration = Duration::from_secs(10);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn layer(limits: impl IntoIterator<Item = Limit>, charge: Charge) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier_charging(charge, limits)).tracker(&RateLimitTracker::new())
}

/// How the requests of a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    whole: u64,
    failed: u64,
}

/// Sends one request and reads its answer to its end.
async fn send<S, R>(client: &mut S, stream: bool) -> Result<StatusCode, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError>>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let client = client.ready().await.map_err(Into::into)?;
    let mut request = chat(URL, 1, 40, stream);
    request.extensions_mut().insert(TokenEstimate::new(1, 40));
    let response = client.call(request).await;
    let response = response.map_err(Into::into)?;
    let status = response.status();
    response.into_body().collect().await.map_err(Into::into)?;
    Ok(status)
}

/// Lets so many callers send so many requests each, one after the other with a pause between.
async fn drive<S, R>(client: &S, callers: usize, each: usize, pause: Duration, stream: bool) -> Ends
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError> + Send>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut ends = Ends::default();
                for _ in 0..each {
                    match send(&mut client, stream).await {
                        Ok(_) => ends.whole += 1,
                        Err(_) => ends.failed += 1,
                    }
                    sleep(pause).await;
                }
                ends
            })
        })
        .collect();
    let mut sum = Ends::default();
    for caller in callers {
        let ends = caller.await.unwrap();
        sum.whole += ends.whole;
        sum.failed += ends.failed;
    }
    sum
}

/// What the provider, the network and the layer say of a run.
struct Account {
    report: Report,
    faults: FaultReport,
    stats: Stats,
}

/// Waits until nothing is under way, and checks what holds of every run.
async fn account(network: &FaultyNetwork<Simulator>, layer: &ProactiveRateLimitLayer) -> Account {
    sleep(secs(30)).await;
    let account = Account {
        report: network.get_ref().report(),
        faults: network.report(),
        stats: layer.stats().unwrap(),
    };
    assert_at_rest(&account.stats);
    account
}

impl Account {
    /// The provider refused nothing and never counted more than the limit less its margin.
    fn assert_envelope(&self, context: &str) {
        let Self { report, faults, .. } = self;
        assert_eq!(report.throttled, 0, "{context}\n{faults}\n{report}");
        for meter in [&report.requests, &report.tokens] {
            let most = meter.limit.map_or(u64::MAX, |limit| limit - 2);
            assert!(meter.worst_window <= most, "{context}\n{faults}\n{report}");
        }
    }

    /// What arrived was admitted, and once.
    fn assert_admitted(&self, context: &str) {
        let Self { report, stats, .. } = self;
        assert!(
            report.arrived <= stats.total_requests,
            "{context}\n{stats}\n{report}"
        );
    }
}

fn network(simulator: SimulatorBuilder, faults: Faults) -> FaultyNetwork<Simulator> {
    FaultyNetwork::new(simulator.window(WINDOW).build(), faults)
}

/// Connections close exactly when they are to be used again.
async fn race(build: impl Fn(&FaultyNetwork<Simulator>) -> PipedClient) -> (Ends, Account) {
    let faults = Faults::new()
        .inject(FaultKind::CloseAfterAnswer, 0.7)
        .close_delay(millis(499)..=millis(501))
        .seed(4);
    let network = network(Simulator::builder().requests(60), faults);
    let layer = layer([Limit::requests(60).per(WINDOW)], Charge::Reserved);
    let client = layer.layer(build(&network));
    let ends = drive(&client, 2, 300, millis(500), false).await;
    drop(client);
    (ends, account(&network, &layer).await)
}

/// A request that was never written is sent again by hyper's client, on another connection. To the
/// layer that is one admission, and to the provider one request.
#[tokio::test(start_paused = true)]
async fn keep_alive_races_cost_one_admission_each() {
    let never_again = |network: &FaultyNetwork<Simulator>| {
        let pipes = Pipes::http1(network);
        client().retry_canceled_requests(false).build(pipes)
    };
    let (without, account) = race(never_again).await;
    account.assert_envelope("without re-sending");
    let (ends, account) = race(piped_http1).await;
    println!(
        "{ends:?}, without re-sending {without:?}\n{}",
        account.faults
    );
    account.assert_envelope("with re-sending");
    account.assert_admitted("with re-sending");
    assert!(account.faults.count(FaultKind::CloseAfterAnswer) > 100);
    assert!(ends.failed < without.failed, "some were sent again");
    assert_eq!(account.stats.total_requests, ends.whole + ends.failed);
    assert!(account.report.arrived >= ends.whole);
}

/// Two streams per connection, of which some take long: what waits for one is counted late, and all
/// at once.
async fn few_streams<S>(
    stream: bool,
    layer: ProactiveRateLimitLayer,
    below: impl FnOnce(PipedClient) -> S,
) -> Account
where
    S: Service<Request<Body>, Response = Response<hyper::body::Incoming>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
{
    let slow = if stream {
        FaultKind::BodyStall
    } else {
        FaultKind::HeadDelay
    };
    let faults = Faults::new()
        .inject(slow, 0.15)
        .head_delay(secs(8)..=secs(8))
        .stall(secs(8)..=secs(8))
        .seed(2);
    let network = network(Simulator::builder().requests(20), faults);
    let client = layer.layer(below(piped_http2(&network, 2)));
    let ends = drive(&client, 60, 5, Duration::ZERO, stream).await;
    assert_eq!(ends.failed, 0);
    drop(client);
    let account = account(&network, &layer).await;
    println!(
        "worst {} of 20, {} throttled",
        account.report.requests.worst_window, account.report.throttled
    );
    assert_eq!(account.stats.total_requests, account.report.arrived);
    account
}

fn twenty() -> ProactiveRateLimitLayer {
    layer([Limit::requests(20).per(WINDOW)], Charge::Reserved).max_wait(secs(3_600))
}

/// `max_skew` is an assumption, which a queue below the layer breaks.
#[tokio::test(start_paused = true)]
async fn few_streams_break_the_bound_on_the_way_to_the_provider() {
    for stream in [false, true] {
        let account = few_streams(stream, twenty(), |client| client).await;
        assert!(account.report.throttled > 0, "{}", account.report);
    }
}

#[tokio::test(start_paused = true)]
async fn few_streams_are_no_matter_to_the_anchor_at_the_answer() {
    for stream in [false, true] {
        let layer = twenty().anchor(Anchor::Answer);
        let account = few_streams(stream, layer, |client| client).await;
        account.assert_envelope("anchored at the answer");
    }
}

/// tower's own limit counts a request until its head: not enough where the body takes long, and the
/// provider's headers do not tell what it has counted.
#[tokio::test(start_paused = true)]
async fn few_streams_are_no_matter_below_a_limit_on_concurrency_but_to_streams() {
    let two_at_a_time = |client| ServiceBuilder::new().concurrency_limit(2).service(client);
    let account = few_streams(false, twenty(), two_at_a_time).await;
    account.assert_envelope("two at a time");
    let unheard = |client| {
        ServiceBuilder::new()
            .map_response(|mut response: Response<hyper::body::Incoming>| {
                response.headers_mut().clear();
                response
            })
            .service(two_at_a_time(client))
    };
    let account = few_streams(true, twenty(), unheard).await;
    let worst = account.report.requests.worst_window;
    assert!(worst > 18, "{}", account.report);
}

/// A limit on requests in flight counts them until the end of their bodies.
#[tokio::test(start_paused = true)]
async fn few_streams_are_no_matter_to_a_tier_that_knows_of_them() {
    for stream in [false, true] {
        let limits = [Limit::requests(20).per(WINDOW), Limit::concurrent(2)];
        let layer = layer(limits, Charge::Reserved).max_wait(secs(3_600));
        let account = few_streams(stream, layer, |client| client).await;
        account.assert_envelope("two in flight");
    }
}

/// Sends 100 requests, each of which is redirected once, with the layer and what follows redirects
/// in this order.
async fn redirected<S, R>(stack: impl FnOnce(&ProactiveRateLimitLayer, PipedClient) -> S) -> Account
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError> + Send>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    // Its headers would tell the layer how much the provider counts.
    let faults = Faults::new()
        .inject(FaultKind::Redirect, 1.0)
        .inject(FaultKind::MalformedHeaders, 1.0);
    let network = network(Simulator::builder().requests(30), faults);
    let layer = layer([Limit::requests(30).per(WINDOW)], Charge::Reserved);
    let client = stack(&layer, piped_http1(&network));
    let ends = drive(&client, 5, 20, Duration::ZERO, false).await;
    assert_eq!((ends.whole, ends.failed), (100, 0));
    drop(client);
    account(&network, &layer).await
}

#[tokio::test(start_paused = true)]
async fn redirects_below_the_layer_are_not_counted_and_above_it_they_are() {
    let follow = || {
        let policy = Limited::default().and::<_, _, ()>(clone_body_fn(|b: &Body| Some(b.clone())));
        FollowRedirectLayer::with_policy(policy)
    };
    let below = redirected(|layer, client| layer.layer(follow().layer(client))).await;
    assert_eq!(below.stats.total_requests, 100);
    assert_eq!(below.report.arrived, 200);
    assert!(below.report.throttled > 0, "{}", below.report);

    let above = redirected(|layer, client| follow().layer(layer.layer(client))).await;
    assert_eq!(above.stats.total_requests, 200);
    assert_eq!(above.report.arrived, 200);
    above.assert_envelope("each hop admitted");
}

/// Callers leave in the middle of their streams, which the provider goes on to generate and charges
/// when they are complete.
async fn left_early(max_generation: Duration) -> Account {
    let seed = 6;
    let simulator = Simulator::builder()
        .tokens(10_000)
        .charge(Charge::Actual)
        .charged_at(ChargedAt::End)
        .arrival_latency(Duration::ZERO..=millis(100))
        .answer_latency(Duration::ZERO..=millis(300))
        .stream_latency(millis(20)..=millis(60))
        .output_tokens(200..=200)
        .seed(seed);
    let network = network(simulator, Faults::new());
    let layer =
        layer([Limit::tokens(10_000).per(WINDOW)], Charge::Actual).max_generation(max_generation);
    let client = layer.layer(piped_http1(&network));
    let callers: Vec<_> = (0..40)
        .map(|caller| {
            let mut rng = fastrand::Rng::with_seed(seed + caller);
            let mut client = client.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let tokens = rng.u64(20..=200);
                    let mut request = chat(URL, 20, tokens, true);
                    let estimate = TokenEstimate::new(20, tokens);
                    request.extensions_mut().insert(estimate);
                    let response = client.ready().await.unwrap().call(request).await.unwrap();
                    let mut body = response.into_body();
                    for _ in 0..rng.u8(0..10) {
                        body.frame().await;
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    drop(client);
    let account = account(&network, &layer).await;
    assert_eq!(account.stats.abandoned, account.report.answered);
    assert_eq!(account.report.clients_gone, account.report.answered);
    assert_eq!(account.stats.total_requests, account.report.arrived);
    account
}

#[tokio::test(start_paused = true)]
async fn bodies_dropped_early_count_until_the_provider_is_done_with_them() {
    let account = left_early(secs(12)).await;
    account.assert_envelope("200 tokens of at most 60 ms each");
    let account = left_early(Duration::ZERO).await;
    assert!(
        account.report.tokens.worst_window > 9_998,
        "the assumption matters\n{}",
        account.report
    );
}

/// Everything that can go wrong, on both sides: callers give up anywhere, and try again.
async fn hostile<S, R>(
    seed: u64,
    max_skew: Duration,
    build: impl FnOnce(&FaultyNetwork<Simulator>) -> S,
) -> Account
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError> + Send>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    let simulator = Simulator::builder()
        .requests(20)
        .tokens(700)
        .arrival_latency(Duration::ZERO..=millis(200))
        .answer_latency(Duration::ZERO..=millis(500))
        .stream_latency(Duration::ZERO..=millis(20))
        .failure_rate(0.02)
        .seed(seed);
    let faults = Faults::new().inject_all(0.02).seed(seed);
    let network = network(simulator, faults);
    let limits = [
        Limit::requests(20).per(WINDOW),
        Limit::tokens(700).per(WINDOW),
    ];
    let layer = layer(limits, Charge::Reserved).max_skew(max_skew);
    let client = layer.layer(build(&network));
    let callers: Vec<_> = (0..40)
        .map(|caller| {
            let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(1_000) + caller);
            let mut client = client.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let patience = match rng.u8(0..3) {
                        0 => secs(400),
                        1 => millis(rng.u64(0..2_000)),
                        _ => millis(rng.u64(0..20_000)),
                    };
                    let _ = timeout(patience, send(&mut client, rng.bool())).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }

    // Whatever it was made to believe, it gets over it.
    let mut last = client.clone();
    let mut attempts = 0;
    loop {
        let sent = timeout(secs(400), send(&mut last, false)).await;
        if matches!(sent, Ok(Ok(StatusCode::OK))) {
            break;
        }
        attempts += 1;
        assert!(attempts < 20, "seed {seed}: {}", layer.stats().unwrap());
    }
    drop((client, last));
    let account = account(&network, &layer).await;
    account.assert_admitted(&format!("seed {seed}"));
    account
}

/// Longer than a request is under way to the provider: 200 ms to connect and 200 ms from there.
const MAX_SKEW: Duration = Duration::from_millis(400);

#[tokio::test(start_paused = true)]
async fn hostile_networks_in_process() {
    let mut never: Vec<_> = FaultKind::ALL.into();
    for seed in 0..100 {
        let account = hostile(seed, MAX_SKEW, FaultyNetwork::clone).await;
        account.assert_envelope(&format!("seed {seed}"));
        let Account {
            report,
            faults,
            stats,
        } = &account;
        assert_eq!(faults.requests, stats.total_requests, "seed {seed}");
        let refused = faults.count(FaultKind::ConnectRefused);
        assert!(report.arrived <= faults.requests - refused, "seed {seed}");
        never.retain(|&kind| faults.count(kind) == 0);
    }
    assert_eq!(never, [FaultKind::CloseAfterAnswer], "no connection");
}

/// The same without an allowance for the way to the provider: the runs are hostile enough to tell.
#[tokio::test(start_paused = true)]
async fn hostile_networks_need_their_skew_allowed_for() {
    let mut broken = 0;
    for seed in 0..100 {
        let account = hostile(seed, Duration::ZERO, FaultyNetwork::clone).await;
        let Report {
            throttled, tokens, ..
        } = &account.report;
        broken += u32::from(*throttled > 0 || tokens.worst_window > 698);
    }
    println!("{broken} of 100 runs break the envelope");
    assert!(broken > 10, "{broken}");
}

#[tokio::test(start_paused = true)]
async fn hostile_networks_below_hyper() {
    let mut closed = 0;
    for seed in 0..10 {
        let account = hostile(seed, MAX_SKEW, piped_http1).await;
        account.assert_envelope(&format!("HTTP/1.1, seed {seed}"));
        closed += account.faults.count(FaultKind::CloseAfterAnswer);
        let account = hostile(seed, MAX_SKEW, |network| piped_http2(network, 100)).await;
        account.assert_envelope(&format!("HTTP/2, seed {seed}"));
    }
    assert!(closed > 0);
}

/// Over real sockets, on a real clock.
#[tokio::test]
async fn faults_over_loopback_keep_the_envelope() {
    let window = secs(1);
    let simulator = Simulator::builder()
        .requests(100)
        .window(window)
        .arrival_latency(Duration::ZERO..=millis(20))
        .answer_latency(Duration::ZERO..=millis(30))
        .seed(9)
        .build();
    let faults = Faults::new()
        .inject_all(0.03)
        .inject(FaultKind::BodyHang, 0.0)
        .inject(FaultKind::Throttled, 0.0)
        .inject(FaultKind::Unavailable, 0.0)
        .inject(FaultKind::Overloaded, 0.0)
        .connect_delay(Duration::ZERO..=millis(50))
        .head_delay(Duration::ZERO..=millis(100))
        .stall(Duration::ZERO..=millis(100))
        .close_delay(Duration::ZERO..=millis(10))
        .seed(9);
    let network = FaultyNetwork::new(simulator, faults);
    let layer = layer([Limit::requests(100).per(window)], Charge::Reserved);
    let client = layer.layer(client().build_http());
    let url = loopback::serve(&network).await;
    let callers: Vec<_> = (0..32)
        .map(|caller| {
            let (mut client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let request = chat(&url, 1, 40, caller % 2 == 0);
                    if let Ok(response) = client.ready().await.unwrap().call(request).await {
                        let _ = response.into_body().collect().await;
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let account = Account {
        report: network.get_ref().report(),
        faults: network.report(),
        stats: layer.stats().unwrap(),
    };
    println!("{}\n{}", account.faults, account.report);
    assert_at_rest(&account.stats);
    account.assert_envelope("over loopback");
    assert_eq!(account.stats.total_requests, 320);
    account.assert_admitted("over loopback");
    assert!(account.faults.total() > 50);
}
