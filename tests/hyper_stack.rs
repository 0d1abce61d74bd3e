//! The stack of the example `hyper_stack`, as it stands there, over real loopback HTTP. The judge is the
//! provider's own report.

mod support;

#[path = "../examples/hyper_stack.rs"]
#[allow(dead_code, reason = "only the stack is of use here")]
mod example;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::client::legacy;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use proactive_rate_limit::retry::RetryPolicy;
use proactive_rate_limit::simulator::faults::{FaultKind, Faults, FaultyNetwork};
use proactive_rate_limit::simulator::{Report, Simulator, SimulatorBuilder};
use proactive_rate_limit::{
    BoxError, Charge, Limit, ProactiveRateLimitLayer, RateLimitTracker, Stats,
};
use support::piped::{chat, client};
use support::{Body, assert_at_rest, tier_charging};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::policy::{PolicyExt, Standard, clone_body_fn};
use tower_http::follow_redirect::{FollowRedirectLayer, RequestUri};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_http::trace::TraceLayer;

const MINUTE: Duration = Duration::from_secs(60);
const KEY: &str = "Bearer secret";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A provider behind a gateway, which asks for a key, moves what it is asked for, and compresses.
#[derive(Clone)]
struct Gateway {
    provider: FaultyNetwork<Simulator>,
    moved: Arc<AtomicU64>,
}

impl Gateway {
    fn new(simulator: SimulatorBuilder, faults: Faults) -> Self {
        Self {
            provider: FaultyNetwork::new(simulator.build(), faults),
            moved: Arc::default(),
        }
    }

    fn report(&self) -> Report {
        self.provider.get_ref().report()
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError> {
        let nothing = |response: http::response::Builder| {
            let body = Full::<Bytes>::default().map_err(|never| match never {});
            response.body(UnsyncBoxBody::new(body))
        };
        if request.headers().get(header::AUTHORIZATION) != Some(&HeaderValue::from_static(KEY)) {
            let unauthorized = Response::builder().status(StatusCode::UNAUTHORIZED);
            return Ok(nothing(unauthorized)?);
        }
        if let Some(path) = request.uri().path().strip_prefix("/moved") {
            self.moved.fetch_add(1, Ordering::Relaxed);
            let moved = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
            return Ok(nothing(moved.header(header::LOCATION, path))?);
        }
        let response = self.provider.oneshot(request).await?;
        Ok(response.map(|body| UnsyncBoxBody::new(body.map_err(Into::into))))
    }

    async fn serve(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        self.serve_on(listener.unwrap())
    }

    /// Serves HTTP/1.1 for as long as the runtime lives, and says where.
    fn serve_on(&self, listener: TcpListener) -> String {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gateway = self.clone();
        let service = ServiceBuilder::new()
            .layer(CompressionLayer::new().compress_when(SizeAbove::new(0)))
            .service_fn(move |request| gateway.clone().answer(request));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        url
    }
}

fn limits(charge: Charge, limits: impl IntoIterator<Item = Limit>) -> ProactiveRateLimitLayer {
    ProactiveRateLimitLayer::new(tier_charging(charge, limits)).tracker(&RateLimitTracker::new())
}

/// Tokens as used, in plenty.
fn plenty() -> ProactiveRateLimitLayer {
    limits(
        Charge::Actual,
        [
            Limit::requests(6_000).per(MINUTE),
            Limit::tokens(1_000_000).per(MINUTE),
        ],
    )
}

fn provider() -> SimulatorBuilder {
    Simulator::builder()
        .requests(6_000)
        .tokens(1_000_000)
        .window(MINUTE)
        .charge(Charge::Actual)
        .output_tokens(10..=60)
        .seed(3)
}

/// As in the example, for a provider that is quick to be good again.
fn retry() -> RetryPolicy {
    example::retry()
        .back_off(millis(20), millis(100))
        .final_attempt_after(millis(300))
}

/// One answer, read to its end.
struct Answer {
    status: StatusCode,
    encoding: Option<HeaderValue>,
    body: Bytes,
}

async fn ask<S, R>(client: &S, request: Request<Body>) -> Result<Answer, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let response = client.clone().oneshot(request).await.map_err(Into::into)?;
    Ok(Answer {
        status: response.status(),
        encoding: response.headers().get(header::CONTENT_ENCODING).cloned(),
        body: response
            .into_body()
            .collect()
            .await
            .map_err(Into::into)?
            .to_bytes(),
    })
}

/// Sends so many requests through the stack from 8 callers, every other one for a stream.
async fn drive(
    url: &str,
    retry: RetryPolicy,
    layer: &ProactiveRateLimitLayer,
    jobs: usize,
) -> Vec<Answer> {
    let client = example::stack(HeaderValue::from_static(KEY), retry, layer.clone());
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (client, url) = (client.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for job in (caller..jobs).step_by(8) {
                    let request = chat(&url, 20, 60, job % 2 == 0);
                    answers.push(ask(&client, request).await?);
                }
                Ok::<_, BoxError>(answers)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.extend(caller.await.unwrap().unwrap());
    }
    answers
}

/// The provider counted what was admitted, and no more than its limits less their margins.
fn assert_kept(report: &Report, stats: &Stats) {
    assert_at_rest(stats);
    assert_eq!(report.arrived, stats.total_requests, "{report}\n{stats}");
    assert_eq!(report.throttled, 0, "{report}");
    for meter in [&report.requests, &report.tokens] {
        let most = meter.limit.map_or(u64::MAX, |limit| limit - 2);
        assert!(meter.worst_window <= most, "{report}");
    }
}

/// Waits for it.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(millis(5)).await;
    }
}

/// Where nobody listens, nor will while the socket is there.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(anywhere).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

/// What the stack is for.
#[tokio::test]
async fn a_bare_client_has_to_cope_with_the_gateway_by_itself() {
    let gateway = Gateway::new(provider(), Faults::new());
    let url = gateway.serve().await;
    let bare = client().build_http::<Body>();
    let answer = ask(&bare, chat(&url, 20, 60, false)).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    let gzip = HeaderValue::from_static("gzip");
    let authorized = |url: &str| {
        let mut request = chat(url, 20, 60, true);
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(KEY));
        headers.insert(header::ACCEPT_ENCODING, gzip.clone());
        request
    };
    let moved = authorized(&format!("{url}/moved"));
    let answer = ask(&bare, moved).await.unwrap();
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    let answer = ask(&bare, authorized(&url)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.encoding, Some(gzip));
    assert!(!answer.body.ends_with(b"data: [DONE]\n\n"));
}

/// On the wire answers are compressed and moved; the caller and the account see neither.
#[tokio::test]
async fn json_and_streams_are_accounted_for_exactly() {
    let gateway = Gateway::new(provider(), Faults::new());
    let url = gateway.serve().await;
    let layer = plenty();
    let answers = drive(&format!("{url}/moved"), retry(), &layer, 40).await;
    assert_eq!(answers.len(), 40);
    let mut streamed = 0;
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.encoding, None);
        if answer.body.ends_with(b"data: [DONE]\n\n") {
            streamed += 1;
        } else {
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(answer["usage"]["total_tokens"].is_u64(), "{answer}");
        }
    }
    assert_eq!(streamed, 20);
    assert_eq!(gateway.moved.load(Ordering::Relaxed), 40);

    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    println!("{report}\n{stats}");
    assert_kept(&report, &stats);
    assert_eq!((report.answered, stats.usage_read), (40, 40));
    let used: Vec<_> = stats.limits.iter().map(|limit| limit.used).collect();
    assert_eq!(used, [40, report.tokens.counted], "{stats}");
}

/// What a caller sees of an answer, but for times.
#[derive(Debug, PartialEq)]
struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    uri: Option<Uri>,
    body: String,
}

impl Seen {
    async fn read<R>(response: Response<R>) -> Self
    where
        R: http_body::Body<Error: Into<BoxError>>,
    {
        let (mut head, body) = response.into_parts();
        for name in [
            "date",
            "x-ratelimit-reset-requests",
            "x-ratelimit-reset-tokens",
        ] {
            assert!(head.headers.remove(name).is_some(), "{name}");
        }
        let body = body.collect().await.map_err(Into::into).unwrap();
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        let parts = body.split(r#""created":"#);
        let timeless = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
        Self {
            status: head.status,
            headers: head.headers,
            // Made by what is below the layer.
            uri: head
                .extensions
                .get::<RequestUri>()
                .map(|uri| uri.0.path().parse().unwrap()),
            body: timeless.collect(),
        }
    }
}

/// Sends requests of every kind, good and bad, to a provider of its own.
async fn seen<S, R>(client: S, nobody: &str) -> (Vec<Seen>, String)
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let gateway = Gateway::new(provider(), Faults::new());
    let url = gateway.serve().await;
    let post = |path: &str, body: &'static str| {
        let request = Request::post(format!("{url}{path}"));
        request.body(Full::from(body)).unwrap()
    };
    let requests = [
        chat(&url, 20, 60, false),
        chat(&url, 20, 60, true),
        chat(&format!("{url}/moved"), 20, 60, true),
        post("/v1/chat/completions", "no JSON"),
        post("/v1/nothing/of/the/kind", "{}"),
        post("/v1/embeddings", r#"{"model":"m","input":"tok"}"#),
        Request::get(format!("{url}/v1/embeddings"))
            .body(Body::default())
            .unwrap(),
    ];
    let mut answers = Vec::new();
    for request in requests {
        let response = client.clone().oneshot(request).await.map_err(Into::into);
        answers.push(Seen::read(response.unwrap()).await);
    }
    let request = chat(nobody, 20, 60, false);
    let error = client.oneshot(request).await.map(drop).map_err(Into::into);
    (answers, format!("{:?}", error.unwrap_err()))
}

/// Where nothing has to be limited, the layer changes nothing.
#[tokio::test]
async fn the_stack_answers_as_it_does_without_the_layer() {
    let layer = plenty();
    let retry = retry().max_retries(0).without_final_attempt();
    let authorization = HeaderValue::from_static(KEY);
    let with = example::stack(authorization.clone(), retry.clone(), layer.clone());
    let redirects = Standard::default()
        .and::<_, _, legacy::Error>(clone_body_fn(|body: &Body| Some(body.clone())));
    let without = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .retry(retry)
        .layer(SetRequestHeaderLayer::overriding(
            header::AUTHORIZATION,
            authorization,
        ))
        .map_err(BoxError::from)
        .layer(FollowRedirectLayer::with_policy(redirects))
        .layer(DecompressionLayer::new())
        .service(client().build_http::<Body>());
    let (_socket, nobody) = nobody();
    let (with, error) = seen(with, &nobody).await;
    let (without, same_error) = seen(without, &nobody).await;
    let statuses: Vec<_> = with.iter().map(|seen| seen.status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 200, 400, 404, 200, 405]);
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(with, without);
    }
    assert_eq!(error, same_error);
    assert_eq!(layer.stats().unwrap().total_requests, 8);
}

/// At full speed: nobody is refused, and when the window has passed nothing is counted any more.
#[tokio::test]
async fn the_limits_are_kept_at_full_speed_and_the_budget_comes_back() {
    let window = Duration::from_secs(1);
    let simulator = Simulator::builder()
        .requests(60)
        .tokens(12_000)
        .window(window)
        .charge(Charge::Actual)
        .arrival_latency(Duration::ZERO..=millis(20))
        .answer_latency(Duration::ZERO..=millis(30))
        .output_tokens(10..=60)
        .seed(5);
    let gateway = Gateway::new(simulator, Faults::new());
    let url = gateway.serve().await;
    let layer = limits(
        Charge::Actual,
        [
            Limit::requests(60).per(window),
            Limit::tokens(12_000).per(window),
        ],
    );
    let answers = drive(&format!("{url}/moved"), retry(), &layer, 120).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    println!("{report}\n{stats}");
    assert_kept(&report, &stats);
    assert_eq!((report.answered, stats.usage_read), (120, 120));
    sleep(window + millis(100)).await;
    for limit in layer.stats().unwrap().limits {
        assert_eq!(limit.used, 0, "{limit}");
    }
}

/// What the provider refuses all the same is retried, and each attempt counts.
#[tokio::test]
async fn refusals_are_retried_and_every_attempt_is_admitted() {
    let faults = Faults::new()
        .inject(FaultKind::Throttled, 0.1)
        .inject(FaultKind::Overloaded, 0.1)
        .inject(FaultKind::RetryAfterMillis, 1.0)
        .retry_after(millis(10)..=millis(50))
        .seed(1);
    let gateway = Gateway::new(provider(), faults);
    let url = gateway.serve().await;
    let layer = plenty();
    let answers = drive(&url, retry(), &layer, 40).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    let faults = gateway.provider.report();
    println!("{faults}\n{report}\n{stats}");
    assert_kept(&report, &stats);
    let throttled = faults.count(FaultKind::Throttled);
    let overloaded = faults.count(FaultKind::Overloaded);
    assert!(throttled > 0 && overloaded > 0, "{faults}");
    assert_eq!(report.arrived, 40 + throttled + overloaded);
    assert_eq!(stats.throttled, throttled);
    assert_eq!(stats.usage_read, 40);
}

#[tokio::test]
async fn a_persistent_refusal_is_passed_on_after_five_attempts() {
    let faults = Faults::new()
        .inject(FaultKind::Throttled, 1.0)
        .inject(FaultKind::RetryAfterMillis, 1.0)
        .retry_after(millis(10)..=millis(10));
    let gateway = Gateway::new(provider(), faults);
    let url = gateway.serve().await;
    let layer = plenty();
    let answers = drive(&url, retry(), &layer, 1).await;
    assert_eq!(answers[0].status, StatusCode::TOO_MANY_REQUESTS);
    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    assert_eq!((report.arrived, stats.throttled), (5, 5));
    assert_kept(&report, &stats);
}

/// Nobody listens at first. Such a request was never sent, but may have been, for all the layer knows.
#[tokio::test]
async fn a_provider_that_is_not_up_yet_is_asked_again() {
    let (socket, url) = nobody();
    let (gateway, layer) = (Gateway::new(provider(), Faults::new()), plenty());
    let late = async {
        until(|| layer.stats().unwrap().abandoned == 1).await;
        gateway.serve_on(socket.listen(16).unwrap());
    };
    let patient = retry().back_off(millis(300), millis(300));
    let (answers, ()) = tokio::join!(drive(&url, patient, &layer, 1), late);
    assert_eq!(answers[0].status, StatusCode::OK);
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.total_requests, stats.abandoned), (2, 1), "{stats}");
    assert_eq!(gateway.report().arrived, 1);
}

/// The provider goes on generating for somebody who is gone, so the whole reserve stays counted.
#[tokio::test]
async fn whoever_leaves_in_the_middle_of_a_stream_is_counted_in_full() {
    let slow = provider()
        .output_tokens(60..=60)
        .stream_latency(millis(20)..=millis(20));
    let gateway = Gateway::new(slow, Faults::new());
    let url = gateway.serve().await;
    let layer = plenty();
    let client = example::stack(HeaderValue::from_static(KEY), retry(), layer.clone());
    let response = client.oneshot(chat(&url, 20, 60, true)).await.unwrap();
    let mut body = Box::pin(response.into_body());
    let first = body.frame().await.unwrap().unwrap();
    assert!(first.is_data());
    let before = layer.stats().unwrap();
    assert_eq!(before.in_flight, 1);
    drop(body);

    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.abandoned, stats.usage_read), (1, 0), "{stats}");
    assert_eq!(stats.limits[1].used, before.limits[1].used);
    until(|| gateway.report().clients_gone == 1).await;
    let report = gateway.report();
    assert!(stats.limits[1].used >= report.tokens.counted, "{report}");
}

#[tokio::test]
async fn whoever_leaves_while_waiting_costs_nothing() {
    let gateway = Gateway::new(provider(), Faults::new());
    let url = gateway.serve().await;
    // Of three, two are kept back.
    let layer = limits(Charge::Actual, [Limit::requests(3).per(MINUTE)]);
    let client = example::stack(HeaderValue::from_static(KEY), retry(), layer.clone());
    ask(&client, chat(&url, 20, 60, false)).await.unwrap();
    let left = timeout(millis(50), ask(&client, chat(&url, 20, 60, false))).await;
    assert!(left.is_err());
    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((report.arrived, stats.limits[0].used), (1, 1));
}

#[tokio::test]
async fn whoever_leaves_while_backing_off_costs_no_more() {
    let faults = Faults::new()
        .inject(FaultKind::Throttled, 1.0)
        .retry_after(millis(1_000)..=millis(1_000));
    let gateway = Gateway::new(provider(), faults);
    let url = gateway.serve().await;
    let layer = plenty();
    let client = example::stack(HeaderValue::from_static(KEY), retry(), layer.clone());
    let request = chat(&url, 20, 60, false);
    let waiting = tokio::spawn(async move { ask(&client, request).await.map(drop) });
    until(|| layer.stats().unwrap().throttled == 1).await;
    waiting.abort();
    sleep(millis(1_200)).await;
    let (report, stats) = (gateway.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((report.arrived, stats.limits[0].used), (1, 1));
}
