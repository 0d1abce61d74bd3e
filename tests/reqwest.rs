//! reqwest's client inside of the layer, over real loopback HTTP.

mod over_reqwest;
mod support;

use std::time::Duration;

use http::StatusCode;
use over_reqwest::{MINUTE, ask, chat, limits, plenty, provider, seen, send, serve};
use proactive_rate_limit::per_model::PerModelRateLimitLayer;
use proactive_rate_limit::reqwest::{AsHttp, AsReqwest, ReqwestLayer, with_extension};
use proactive_rate_limit::{
    BoxError, ProactiveRateLimit, ProactiveRateLimitLayer, RateLimitError, TokenEstimate,
};
use reqwest::{Body, Client, Request, Response};
use support::{assert_at_rest, exactly};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

type Limited = AsReqwest<ProactiveRateLimit<AsHttp<Client>>>;

/// As the module's documentation says.
fn wrap(layer: &ProactiveRateLimitLayer) -> Limited {
    let client = Client::builder().retry(reqwest::retry::never());
    ServiceBuilder::new()
        .layer(ReqwestLayer::new(layer.clone()))
        .service(client.build().unwrap())
}

fn reqwest_error(error: &BoxError) -> Option<&reqwest::Error> {
    error.downcast_ref()
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

/// Where nothing has to be limited, the layer changes nothing.
#[tokio::test]
async fn the_client_answers_as_it_does_without_the_layer() {
    let layer = plenty();
    seen::assert_the_same(&Client::new(), &wrap(&layer), reqwest_error).await;
    assert_at_rest(&layer.stats().unwrap());
}

#[tokio::test]
async fn a_client_can_be_borrowed() {
    let server = serve(provider()).await;
    let (layer, client) = (plenty(), Client::new());
    let mut limited = ReqwestLayer::new(layer.clone()).layer(&client);
    let request = chat(&server.url(), 60, false);
    let response = limited.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap();
    assert_eq!(layer.stats().unwrap().usage_read, 1);
}

#[tokio::test]
async fn a_request_that_may_not_wait_is_refused_without_being_sent() {
    let server = serve(provider()).await;
    let layer = limits([exactly(1, MINUTE)]).max_wait(Duration::ZERO);
    let client = wrap(&layer);
    ask(&client, chat(&server.url(), 60, false)).await.unwrap();
    let refused = client.execute(chat(&server.url(), 60, false)).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(
            error.downcast_ref(),
            Some(RateLimitError::WaitTooLong(wait)) if wait.used == Some(1)
        ),
        "{error}"
    );
    assert_eq!(server.report().arrived, 1);
    assert_at_rest(&layer.stats().unwrap());
}

/// Of tokens: what is reserved of a request while it is under way.
async fn reserved(request: Request) -> u64 {
    let layer = plenty();
    let response = send(&wrap(&layer), request).await.unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!(stats.in_flight, 1);
    response.bytes().await.unwrap();
    stats.limits[1].used
}

#[tokio::test]
async fn what_a_request_costs_is_read_or_told() {
    let slow = provider().stream_latency(Duration::from_millis(1)..=Duration::from_millis(1));
    let server = serve(slow.output_tokens(60..=60)).await;
    let length = |request: &Request| {
        let body = request.body().and_then(Body::as_bytes);
        body.unwrap().len() as u64
    };

    let small = chat(&server.url(), 60, true);
    let bound = length(&small);
    let small = reserved(small).await;
    assert!((61..=60 + bound).contains(&small), "{small}");
    let large = reserved(chat(&server.url(), 600, true)).await;
    assert!(large > 600, "{large}");

    let told = with_extension(
        chat(&server.url(), 60, true),
        TokenEstimate::new(500, 1_000),
    );
    assert_eq!(reserved(told.unwrap()).await, 1_500);
    let mut hidden = chat(&server.url(), 60, true);
    let body = hidden.body_mut().take().unwrap();
    *hidden.body_mut() = Some(Body::wrap(body));
    let told = with_extension(hidden, TokenEstimate::new(500, 1_000));
    assert_eq!(reserved(told.unwrap()).await, 1_500);
}

#[tokio::test]
async fn each_model_can_have_its_own_budget() {
    let server = serve(provider()).await;
    let layer = plenty();
    let client = ServiceBuilder::new()
        .layer(ReqwestLayer::new(
            PerModelRateLimitLayer::new().budget(layer.clone()),
        ))
        .service(Client::new());
    ask(&client, chat(&server.url(), 60, true)).await.unwrap();
    let (report, stats) = (server.report(), layer.stats().unwrap());
    over_reqwest::assert_kept(&report, &stats);
    assert_eq!(stats.limits[1].used, report.tokens.counted);
}

#[test]
fn it_is_what_stacks_of_services_ask_for() {
    fn is<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn can_be_sent_and_shared<T: Send + Sync>(_: T) {}

    let layer = plenty();
    let mut service = wrap(&layer);
    is(&service);
    let request = chat("http://127.0.0.1:9", 1, false);
    can_be_sent_and_shared(service.call(request));
    let boxed: BoxCloneSyncService<Request, Response, BoxError> = BoxCloneSyncService::new(service);
    is(&boxed);
    let boxed = ServiceBuilder::new()
        .boxed_clone_sync()
        .layer(ReqwestLayer::new(layer))
        .service(Client::new());
    is(&boxed);
}
