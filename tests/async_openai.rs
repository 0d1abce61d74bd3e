//! async-openai's client with the limits below it, over real loopback HTTP.

mod over_reqwest;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::retry::OpenAIRetryLayer;
use async_openai::middleware::{HttpRequestFactory, ReqwestService};
use async_openai::types::chat::{
    ChatCompletionRequestUserMessage, ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use futures_util::StreamExt;
use over_reqwest::{MINUTE, assert_kept, limits, millis, plenty, provider, seen, serve, until};
use proactive_rate_limit::async_openai::{AsyncOpenAi, AsyncOpenAiLayer};
use proactive_rate_limit::per_model::PerModelRateLimitLayer;
use proactive_rate_limit::reqwest::{AsHttp, AsReqwest};
use proactive_rate_limit::simulator::{Report, Simulator};
use proactive_rate_limit::{
    BoxError, ProactiveRateLimit, ProactiveRateLimitLayer, RateLimitError, Spacing, Stats,
};
use reqwest::{Request, Response};
use support::{assert_at_rest, exactly};
use tokio::time::{Instant, timeout};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

type Limited = AsyncOpenAi<AsReqwest<ProactiveRateLimit<AsHttp<reqwest::Client>>>>;

fn limited(layer: &ProactiveRateLimitLayer) -> Limited {
    AsyncOpenAiLayer::new(layer.clone()).layer(reqwest::Client::new())
}

/// As the client does, of requests that are made already.
fn factory(request: Request) -> HttpRequestFactory {
    let request = Arc::new(Mutex::new(Some(request)));
    HttpRequestFactory::new(move || {
        let request = request.lock().unwrap().take();
        async { request.ok_or_else(|| OpenAIError::InvalidArgument("made already".to_owned())) }
    })
}

/// What the client sends with, as a client of reqwest's.
fn wrap(layer: &ProactiveRateLimitLayer) -> impl over_reqwest::Client + use<> {
    limited(layer).map_request(factory)
}

fn reqwest_error(error: &BoxError) -> Option<&reqwest::Error> {
    match error.downcast_ref()? {
        OpenAIError::Reqwest(error) => Some(error),
        _ => None,
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

/// Where nothing has to be limited, the layer changes nothing of what the client's own service does.
#[tokio::test]
async fn the_service_answers_as_it_does_without_the_layer() {
    let layer = plenty();
    let without = ReqwestService::new(reqwest::Client::new()).map_request(factory);
    seen::assert_the_same(&without, &wrap(&layer), reqwest_error).await;
    assert_at_rest(&layer.stats().unwrap());
}

/// As the module's documentation says.
fn client(url: &str, layer: &ProactiveRateLimitLayer) -> Client<OpenAIConfig> {
    let http = ServiceBuilder::new()
        .layer(OpenAIRetryLayer::default())
        .layer(AsyncOpenAiLayer::new(layer.clone()))
        .service(reqwest::Client::new());
    bare_client(url).with_http_service(http)
}

fn bare_client(url: &str) -> Client<OpenAIConfig> {
    let config = OpenAIConfig::new()
        .with_api_base(format!("{url}/v1"))
        .with_api_key("none");
    Client::with_config(config)
}

fn chat() -> CreateChatCompletionRequest {
    CreateChatCompletionRequest {
        model: "test-model".to_owned(),
        messages: vec![ChatCompletionRequestUserMessage::from("Say something kind.").into()],
        max_completion_tokens: Some(60),
        ..Default::default()
    }
}

fn streamed(include_usage: bool) -> CreateChatCompletionRequest {
    CreateChatCompletionRequest {
        stream_options: Some(ChatCompletionStreamOptions {
            include_usage: Some(include_usage),
            include_obfuscation: None,
        }),
        ..chat()
    }
}

#[tokio::test]
async fn a_chat_is_settled_by_what_its_caller_is_told() {
    let server = serve(provider()).await;
    let layer = plenty();
    let client = client(&server.url(), &layer);
    let mut told = 0;
    for _ in 0..5 {
        let answer = client.chat().create(chat()).await.unwrap();
        told += u64::from(answer.usage.unwrap().total_tokens);
    }
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((report.answered, stats.usage_read), (5, 5), "{stats}");
    assert_eq!(stats.limits[1].used, told);
    assert_eq!(report.tokens.counted, told);
}

/// Reads a stream to its end. The client has a task for each, which may be a moment behind.
async fn read(
    client: &Client<OpenAIConfig>,
    layer: &ProactiveRateLimitLayer,
    request: CreateChatCompletionRequest,
) -> Option<u64> {
    let mut stream = client.chat().create_stream(request).await.unwrap();
    let mut told = None;
    while let Some(chunk) = stream.next().await {
        if let Some(usage) = chunk.unwrap().usage {
            told = Some(u64::from(usage.total_tokens));
        }
    }
    until(|| layer.stats().unwrap().in_flight == 0).await;
    told
}

#[tokio::test]
async fn a_streamed_chat_is_settled_by_what_its_caller_is_told() {
    let server = serve(provider()).await;
    let layer = plenty();
    let client = client(&server.url(), &layer);
    let mut told = 0;
    for _ in 0..5 {
        told += read(&client, &layer, streamed(true)).await.unwrap();
    }
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_kept(&report, &stats);
    assert_eq!((stats.settled, stats.usage_read), (5, 5), "{stats}");
    assert_eq!(stats.limits[1].used, told);
    assert_eq!(report.tokens.counted, told);
}

#[tokio::test]
async fn a_stream_that_does_not_tell_counts_in_full() {
    let server = serve(provider().output_tokens(10..=10)).await;
    let layer = plenty();
    let client = client(&server.url(), &layer);
    assert_eq!(read(&client, &layer, streamed(false)).await, None);
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.usage_read, stats.usage_missing), (0, 1), "{stats}");
    assert!(stats.limits[1].used > 60, "{stats}");
}

#[tokio::test]
async fn a_stream_that_its_caller_drops_counts_in_full() {
    let slow = provider()
        .output_tokens(60..=60)
        .stream_latency(millis(20)..=millis(20));
    let server = serve(slow).await;
    let layer = plenty();
    let client = client(&server.url(), &layer);
    let mut stream = client.chat().create_stream(streamed(true)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let before = layer.stats().unwrap();
    assert_eq!(before.in_flight, 1);
    drop(stream);
    until(|| layer.stats().unwrap().in_flight == 0).await;
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.abandoned, stats.usage_read), (1, 0), "{stats}");
    assert_eq!(stats.limits[1].used, before.limits[1].used);
}

#[tokio::test]
async fn whoever_stops_waiting_for_a_chat_costs_nothing() {
    let server = serve(provider()).await;
    let layer = limits([exactly(1, MINUTE)]);
    let client = client(&server.url(), &layer);
    client.chat().create(chat()).await.unwrap();
    assert!(
        timeout(millis(50), client.chat().create(chat()))
            .await
            .is_err()
    );
    assert_kept(&server.report(), &layer.stats().unwrap());
    assert_eq!(layer.stats().unwrap().total_requests, 1);
}

/// Two chats at once with a provider that allows one at a time.
async fn two_at_once(
    build: impl Fn(Client<OpenAIConfig>, &ProactiveRateLimitLayer) -> Client<OpenAIConfig>,
) -> ([Result<(), OpenAIError>; 2], Report, Stats) {
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
    let client = build(bare_client(&server.url()), &layer);
    let ask = async || client.chat().create(chat()).await.map(drop);
    let (first, second) = tokio::join!(ask(), ask());
    let (report, stats) = (server.report(), layer.stats().unwrap());
    assert_at_rest(&stats);
    ([first, second], report, stats)
}

#[tokio::test]
async fn of_retries_around_the_layer_every_attempt_is_admitted() {
    let start = Instant::now();
    let (asked, report, stats) = two_at_once(|client, layer| {
        let http = ServiceBuilder::new()
            .layer(OpenAIRetryLayer::default())
            .layer(AsyncOpenAiLayer::new(layer.clone()))
            .service(reqwest::Client::new());
        client.with_http_service(http)
    })
    .await;
    assert!(start.elapsed() >= millis(700));
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!((report.arrived, report.throttled), (3, 1), "{report}");
    assert_eq!((stats.total_requests, stats.throttled), (3, 1), "{stats}");
}

#[tokio::test]
async fn without_a_retry_layer_nothing_is_retried() {
    let (asked, report, stats) =
        two_at_once(|client, layer| client.with_http_service(limited(layer))).await;
    let refused = |asked: &&Result<_, _>| matches!(asked, Err(OpenAIError::ApiError(_)));
    assert_eq!(asked.iter().filter(refused).count(), 1, "{asked:?}");
    assert_eq!((report.arrived, report.throttled), (2, 1), "{report}");
    assert_eq!(stats.total_requests, 2, "{stats}");
}

#[tokio::test]
async fn a_chat_that_may_not_wait_is_refused_without_being_sent() {
    let server = serve(provider()).await;
    let layer = limits([exactly(1, MINUTE)]).max_wait(Duration::ZERO);
    let client = client(&server.url(), &layer);
    client.chat().create(chat()).await.unwrap();
    let Err(OpenAIError::Boxed(error)) = client.chat().create(chat()).await else {
        panic!("it would have to wait");
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
    assert_eq!(stats.wait_timeouts, 1, "not retried");
    assert_at_rest(&stats);
}

#[tokio::test]
async fn each_model_can_have_its_own_budget() {
    let server = serve(provider()).await;
    let layer = plenty();
    let budgets = PerModelRateLimitLayer::new().budget(layer.clone());
    let http = AsyncOpenAiLayer::new(budgets).layer(reqwest::Client::new());
    let client = bare_client(&server.url()).with_http_service(http);
    client.chat().create(chat()).await.unwrap();
    assert_kept(&server.report(), &layer.stats().unwrap());
    let another = CreateChatCompletionRequest {
        model: "another".to_owned(),
        ..chat()
    };
    let Err(OpenAIError::Boxed(error)) = client.chat().create(another).await else {
        panic!("no budget is for it");
    };
    assert!(matches!(
        error.downcast_ref(),
        Some(RateLimitError::UnknownModel(_))
    ));
}

#[tokio::test]
async fn what_a_factory_says_is_passed_on() {
    let layer = plenty();
    let broken = HttpRequestFactory::new(|| async {
        Err(OpenAIError::InvalidArgument("no such file".to_owned()))
    });
    let error = limited(&layer).oneshot(broken).await.unwrap_err();
    assert!(matches!(error, OpenAIError::InvalidArgument(_)), "{error}");
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    assert_eq!((stats.total_requests, stats.granted), (0, 1), "{stats}");
}

#[test]
fn it_is_what_stacks_of_services_ask_for() {
    fn is<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn can_be_sent_and_shared<T: Send + Sync>(_: T) {}

    let mut service = limited(&plenty());
    is(&service);
    let request = over_reqwest::chat("http://127.0.0.1:9", 1, false);
    can_be_sent_and_shared(service.call(factory(request)));
    let boxed: BoxCloneSyncService<HttpRequestFactory, Response, OpenAIError> =
        BoxCloneSyncService::new(service);
    is(&boxed);
    let boxed = ServiceBuilder::new()
        .boxed_clone_sync()
        .service(limited(&plenty()));
    is(&boxed);
}
