//! What a response's head and usage do to the budget, through the layer.

mod support;

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use proactive_rate_limit::{
    BoxError, Charge, Cost, Limit, ProactiveRateLimitLayer, RateLimitTracker, Stats, TokenEstimate,
};
use support::{Body, assert_at_rest, request, tier_charging};
use tower::{Layer, ServiceExt, service_fn};

fn layer(charge: Charge) -> ProactiveRateLimitLayer {
    let limits = [
        Limit::requests(100).per_minute(),
        Limit::tokens(10_000).per_minute(),
    ];
    ProactiveRateLimitLayer::new(tier_charging(charge, limits)).tracker(&RateLimitTracker::new())
}

/// Reserves 500 tokens.
fn estimated() -> Request<Body> {
    let mut request = request();
    request.extensions_mut().insert(TokenEstimate::new(0, 500));
    request
}

fn used_up(tokens: u64) -> String {
    format!(
        r#"{{"usage":{{"prompt_tokens":0,"completion_tokens":{tokens},"total_tokens":{tokens}}}}}"#
    )
}

/// Sends `request` to a provider that answers like this, and reads the answer to its end.
async fn answer(
    layer: &ProactiveRateLimitLayer,
    request: Request<Body>,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: String,
) -> Stats {
    let headers = headers.to_vec();
    let inner = service_fn(move |_: Request<Body>| {
        let mut response = Response::new(Full::<Bytes>::from(body.clone()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in &headers {
            let name = HeaderName::from_static(name);
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.status(), status);
    response.into_body().collect().await.unwrap();
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    stats
}

#[tokio::test(start_paused = true)]
async fn headers_lower_a_limit_and_show_others() {
    let headers = [
        ("x-ratelimit-limit-requests", "50"),
        ("x-ratelimit-remaining-requests", "40"),
        ("x-ratelimit-reset-requests", "1.2s"),
        ("x-ratelimit-limit-tokens", "10000"),
        ("x-ratelimit-remaining-tokens", "9000"),
        ("x-ratelimit-reset-tokens", "6s"),
    ];
    let stats = answer(
        &layer(Charge::Reserved),
        estimated(),
        200,
        &headers,
        used_up(500),
    )
    .await;
    assert_eq!((stats.limits[0].effective, stats.limits[0].others), (48, 9));
    assert_eq!(
        (stats.limits[1].effective, stats.limits[1].others),
        (9_998, 500)
    );
}

#[tokio::test(start_paused = true)]
async fn overload_pauses_everybody_as_asked_and_other_failures_do_not() {
    let retry = [("retry-after", "9")];
    for (status, pause) in [
        (503, Some(9)),
        (529, Some(9)),
        (413, None),
        (400, None),
        (500, None),
    ] {
        let stats = answer(
            &layer(Charge::Reserved),
            estimated(),
            status,
            &retry,
            String::new(),
        )
        .await;
        assert_eq!(stats.hold, pause.map(Duration::from_secs), "{status}");
        assert_eq!(stats.throttled, 0, "{status}");
    }
    let stats = answer(
        &layer(Charge::Reserved),
        estimated(),
        429,
        &retry,
        String::new(),
    )
    .await;
    assert_eq!(
        (stats.hold, stats.throttled),
        (Some(Duration::from_secs(9)), 1)
    );
    let year = [("retry-after", "2592000")];
    let stats = answer(
        &layer(Charge::Reserved),
        estimated(),
        429,
        &year,
        String::new(),
    )
    .await;
    assert_eq!(
        stats.hold,
        Some(Duration::from_secs(300)),
        "no longer than this"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_in_full() {
    for charge in [Charge::Actual, Charge::Reserved] {
        let stats = answer(&layer(charge), estimated(), 500, &[], used_up(1)).await;
        assert_eq!((stats.limits[0].used, stats.limits[1].used), (1, 500));
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_the_charges_to_say() {
    for (charge, used, counted) in [
        (Charge::Actual, 120, 120),
        (Charge::Reserved, 120, 500),
        (Charge::Actual, 700, 700),
        (Charge::Reserved, 700, 700),
    ] {
        let stats = answer(&layer(charge), estimated(), 200, &[], used_up(used)).await;
        assert_eq!(stats.limits[1].used, counted, "{charge:?}, {used}");
        assert_eq!(stats.usage_read, 1);
    }
}

/// The same for who settles by hand.
#[tokio::test(start_paused = true)]
async fn a_permit_gives_back_only_what_the_provider_does() {
    for (charge, counted) in [(Charge::Actual, 700), (Charge::Reserved, 1_200)] {
        let pool = layer(charge).pool().unwrap();
        let mut permit = pool
            .acquire(Cost::request().with_tokens(1_200))
            .await
            .unwrap();
        permit.answered();
        permit.settle(Cost::ZERO.with_tokens(700));
        let stats = pool.stats();
        assert_eq!((stats.limits[0].used, stats.limits[1].used), (1, counted));
    }
}

/// Polling a response that was made earlier shows its usage each time.
#[tokio::test(start_paused = true)]
async fn a_lookup_costs_a_request_and_no_tokens() {
    let mut get = request();
    *get.method_mut() = Method::GET;
    let stats = answer(&layer(Charge::Actual), get, 200, &[], used_up(5_000)).await;
    assert_eq!((stats.limits[0].used, stats.limits[1].used), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_not_a_prompt() {
    let mut upload = request().map(|_| Full::from(vec![b'x'; 1 << 20]));
    let form = HeaderValue::from_static("multipart/form-data; boundary=x");
    upload.headers_mut().insert(header::CONTENT_TYPE, form);
    let stats = answer(&layer(Charge::Reserved), upload, 200, &[], String::new()).await;
    assert_eq!((stats.limits[0].used, stats.limits[1].used), (1, 0));
}

/// A buffer that shows only its first piece hides the usage: it is not guessed.
#[tokio::test(start_paused = true)]
async fn what_a_buffer_does_not_show_is_a_gap() {
    struct FirstPiece(bytes::buf::Chain<Bytes, Bytes>);

    impl Buf for FirstPiece {
        fn remaining(&self) -> usize {
            self.0.remaining()
        }

        fn chunk(&self) -> &[u8] {
            self.0.chunk()
        }

        fn advance(&mut self, count: usize) {
            self.0.advance(count);
        }
    }

    let layer = layer(Charge::Actual);
    let inner = service_fn(|_: Request<Body>| {
        let whole = Bytes::from_static(br#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#);
        let data = FirstPiece(whole.slice(..20).chain(whole.slice(20..)));
        let frames = futures_util::stream::iter([Ok::<_, BoxError>(Frame::data(data))]);
        std::future::ready(Ok::<_, BoxError>(Response::new(StreamBody::new(frames))))
    });
    let response = layer.layer(inner).oneshot(estimated()).await.unwrap();
    response.into_body().collect().await.map(|_| ()).unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!((stats.usage_unreadable, stats.limits[1].used), (1, 500));
}

/// One that shows all its pieces is read through.
#[tokio::test(start_paused = true)]
async fn a_buffer_of_several_pieces_is_read() {
    let layer = layer(Charge::Actual);
    let inner = service_fn(|_: Request<Body>| {
        let whole = Bytes::from_static(br#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#);
        let data = whole.slice(..20).chain(whole.slice(20..));
        let frames = futures_util::stream::iter([Ok::<_, BoxError>(Frame::data(data))]);
        std::future::ready(Ok::<_, BoxError>(Response::new(StreamBody::new(frames))))
    });
    let response = layer.layer(inner).oneshot(estimated()).await.unwrap();
    response.into_body().collect().await.map(|_| ()).unwrap();
    let stats = layer.stats().unwrap();
    assert_eq!((stats.usage_read, stats.limits[1].used), (1, 3));
}
