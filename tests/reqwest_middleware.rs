//! The limits among the middlewares of reqwest-middleware's client, over real loopback HTTP.

mod over_reqwest;
mod support;

use std::time::Duration;

use http::StatusCode;
use over_reqwest::{MINUTE, ask, chat, limits, millis, plenty, provider, seen, serve};
use proactive_rate_limit::per_model::{PerModelRateLimitLayer, RequestModel};
use proactive_rate_limit::reqwest_middleware::RateLimitMiddleware;
use proactive_rate_limit::simulator::{Report, Simulator};
use proactive_rate_limit::{
    BoxError, ProactiveRateLimitLayer, RateLimitError, Spacing, Stats, TokenEstimate,
};
use reqwest::{Client, Request, Response};
use reqwest_middleware::{
    ClientBuilder, ClientWithMiddleware, Error, Middleware, Next, RequestBuilder,
};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use support::{assert_at_rest, exactly};
use tower::Service;

/// As the module's documentation says.
fn wrap(layer: &ProactiveRateLimitLayer) -> ClientWithMiddleware {
    ClientBuilder::new(Client::new())
        .with(RateLimitMiddleware::new(layer.clone()))
        .build()
}

fn reqwest_error(error: &BoxError) -> Option<&reqwest::Error> {
    match error.downcast_ref()? {
        Error::Reqwest(error) => Some(error),
        Error::Middleware(_) => None,
    }
}

#[tokio::test]
async fn json_is_settled_exactly() {
    over_reqwest::usage_is_settled_exactly(wrap, false).await;
}

#[tokio::test]
async fn a_stream_is_settled_exactly() {
    over_reqwest::usage_is_settled_exactly(wrap, true).await;
}

#[tokio::test]
async fn limits_are_kept_at_full_speed() {
    over_reqwest::limits_are_kept_at_full_speed(wrap).await;
}

#[tokio::test]
async fn a_refusal_holds_back_what_follows() {
    over_reqwest::a_refusal_holds_back_what_follows(wrap).await;
}

#[tokio::test]
async fn whoever_leaves_while_waiting_costs_nothing() {
    over_reqwest::whoever_leaves_while_waiting_costs_nothing(wrap).await;
}

#[tokio::test]
async fn whoever_leaves_mid_stream_is_counted_in_full() {
    over_reqwest::whoever_leaves_mid_stream_is_counted_in_full(wrap).await;
}

#[tokio::test]
async fn timeouts_begin_when_the_request_is_sent() {
    let is_timeout = |error: &BoxError| reqwest_error(error).is_some_and(|e| e.is_timeout());
    over_reqwest::timeouts_begin_when_the_request_is_sent(wrap, is_timeout).await;
}

/// Where nothing has to be limited, the middleware changes nothing.
#[tokio::test]
async fn the_client_answers_as_it_does_without_the_middleware() {
    let layer = plenty();
    let without = ClientBuilder::new(Client::new()).build();
    seen::assert_the_same(&without, &wrap(&layer), reqwest_error).await;
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test]
async fn a_request_that_may_not_wait_is_refused_without_being_sent() {
    let server = serve(provider()).await;
    let layer = limits([exactly(1, MINUTE)]).max_wait(Duration::ZERO);
    // What cannot be waited for is not retried.
    let client = ClientBuilder::new(Client::new())
        .with(retry())
        .with(RateLimitMiddleware::new(layer.clone()))
        .build();
    ask(&client, chat(&server.url(), 60, false)).await.unwrap();
    let unretried = client.execute(chat(&server.url(), 60, false)).await;
    assert!(matches!(unretried, Err(Error::Middleware(_))));
    let refused = wrap(&layer).execute(chat(&server.url(), 60, false)).await;
    let Err(Error::Middleware(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        matches!(
            error.downcast_ref(),
            Some(RateLimitError::WaitTooLong(wait)) if wait.used == Some(1)
        ),
        "{error}"
    );
    let stats = layer.stats().unwrap();
    assert_eq!(server.report().arrived, 1);
    assert_eq!((stats.total_requests, stats.wait_timeouts), (1, 2));
    assert_at_rest(&stats);
}

/// Quicker than the provider would like it to be.
fn retry() -> impl Middleware {
    let policy = ExponentialBackoff::builder()
        .retry_bounds(millis(50), millis(50))
        .jitter(Jitter::None)
        .build_with_max_retries(100);
    RetryTransientMiddleware::new_with_policy(policy)
}

/// Two requests at once to a provider that allows one at a time.
async fn two_at_once(
    build: impl Fn(ClientBuilder, RateLimitMiddleware) -> ClientBuilder,
) -> (Report, Stats) {
    let window = millis(700);
    let server = serve(
        Simulator::builder()
            .requests(1)
            .window(window)
            .refused_count(false)
            .answer_latency(millis(100)..=millis(100)),
    )
    .await;
    let layer = limits([exactly(100, window)]).spacing(Spacing::Off);
    let limits = RateLimitMiddleware::new(layer.clone());
    let client = build(ClientBuilder::new(Client::new()), limits).build();
    let (first, second) = tokio::join!(
        ask(&client, chat(&server.url(), 10, false)),
        ask(&client, chat(&server.url(), 10, false)),
    );
    assert_eq!(first.unwrap(), StatusCode::OK);
    assert_eq!(second.unwrap(), StatusCode::OK);
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_eq!(report.answered, 2, "{report}");
    assert_at_rest(&stats);
    (report, stats)
}

/// And none is made before the provider's `Retry-After` is over.
#[tokio::test]
async fn of_retries_before_the_limits_every_attempt_is_admitted() {
    let (report, stats) = two_at_once(|client, limits| client.with(retry()).with(limits)).await;
    assert_eq!((report.arrived, report.throttled), (3, 1), "{report}");
    assert_eq!(stats.total_requests, 3, "{stats}");
}

#[tokio::test]
async fn retries_after_the_limits_are_not_counted() {
    let (report, stats) = two_at_once(|client, limits| client.with(limits).with(retry())).await;
    assert!(report.throttled > 2, "{report}");
    assert_eq!(stats.total_requests, 2, "{stats}");
}

/// Leaves a mark for those before it, if they left one for it.
struct Marks;

#[derive(Clone, Debug, PartialEq)]
struct Mark(&'static str);

#[async_trait::async_trait]
impl Middleware for Marks {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        assert_eq!(extensions.insert(Mark("after")), Some(Mark("before")));
        assert!(request.body().is_none(), "as it came");
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn the_extensions_of_the_client_pass_in_both_directions() {
    let server = serve(provider()).await;
    let client = ClientBuilder::new(Client::new())
        .with(RateLimitMiddleware::new(plenty()))
        .with(Marks)
        .build();
    let mut extensions = http::Extensions::new();
    extensions.insert(Mark("before"));
    let request = Client::new().get(server.url()).build().unwrap();
    let response = client.execute_with_extensions(request, &mut extensions);
    assert_eq!(response.await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(extensions.get(), Some(&Mark("after")));
}

#[tokio::test]
async fn what_a_request_costs_can_be_told() {
    let slow = provider().stream_latency(millis(1)..=millis(1));
    let server = serve(slow).await;
    let layer = plenty();
    let request = RequestBuilder::from_parts(wrap(&layer), chat(&server.url(), 60, true));
    let request = request.with_extension(TokenEstimate::new(500, 1_000));
    let response = request.send().await.unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!((stats.in_flight, stats.limits[1].used), (1, 1_500));
    response.bytes().await.unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!(stats.limits[1].used, server.report().tokens.counted);
}

#[tokio::test]
async fn each_model_can_have_its_own_budget() {
    let server = serve(provider()).await;
    let layer = plenty();
    let limits = PerModelRateLimitLayer::new().budget(layer.clone());
    let client = ClientBuilder::new(Client::new())
        .with(RateLimitMiddleware::per_model(limits))
        .build();
    ask(&client, chat(&server.url(), 60, true)).await.unwrap();
    let (report, stats) = (server.report(), layer.stats().unwrap());
    over_reqwest::assert_kept(&report, &stats);
    assert_eq!(stats.limits[1].used, report.tokens.counted);

    let request = RequestBuilder::from_parts(client, chat(&server.url(), 60, true));
    let request = request.with_extension(RequestModel::new("another"));
    let Err(Error::Middleware(error)) = request.send().await else {
        panic!("no budget is for it");
    };
    assert!(matches!(
        error.downcast_ref(),
        Some(RateLimitError::UnknownModel(_))
    ));
    assert_eq!(server.report().arrived, 1);
}

#[test]
fn it_is_what_clients_and_stacks_ask_for() {
    fn is<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn can_be_sent<T: Send>(_: T) {}

    is(&RateLimitMiddleware::new(plenty()));
    let mut client = wrap(&plenty());
    is(&client);
    can_be_sent(client.call(chat("http://127.0.0.1:9", 1, false)));
}
