//! Every form in which a provider says when to come back, through the layer: how long the pool pauses.

mod support;

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use proactive_rate_limit::{RateLimitError, Spacing};
use support::{Body, assert_at_rest, exactly, layer, request};
use tower::{Layer, ServiceExt, service_fn};

type Headers = &'static [(&'static str, &'static str)];

/// Mon, 23 Nov 2026 00:00:00 GMT.
const NOW: Duration = Duration::from_secs(1_795_392_000);

/// The pause after an answer with this status and these headers.
async fn pause(status: u16, headers: Headers) -> Option<Duration> {
    let layer = layer([exactly(1_000, Duration::from_secs(60))])
        .wall_clock(|| SystemTime::UNIX_EPOCH + NOW)
        .spacing(Spacing::Off)
        .max_wait(Duration::from_millis(1));
    let provider = service_fn(move |_: Request<Body>| async move {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Ok::<_, Infallible>(response.body(Body::default()).unwrap())
    });
    let client = layer.layer(provider);
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status().as_u16(), status);
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    // Whoever comes meanwhile and may not wait for its end learns so at once.
    let next = client.oneshot(request()).await;
    assert_eq!(next.is_err(), stats.hold.is_some(), "{stats}");
    if let Err(error) = next {
        let error = error.downcast_ref::<RateLimitError>();
        assert!(matches!(error, Some(RateLimitError::WaitTooLong(_))));
    }
    stats.hold
}

#[tokio::test(start_paused = true)]
async fn a_refusal_pauses_the_pool_for_as_long_as_it_says_and_no_longer_than_300_s() {
    let cases: [(Headers, u64); 13] = [
        (&[("retry-after", "7")], 7_000),
        (&[("retry-after", "0.25")], 250),
        (&[("retry-after-ms", "1500"), ("retry-after", "9")], 1_500),
        (&[("retry-after", "Mon, 23 Nov 2026 00:00:20 GMT")], 20_000),
        // By the provider's own clock, if it tells the time.
        (
            &[
                ("date", "Mon, 23 Nov 2026 00:00:15 GMT"),
                ("retry-after", "Mon, 23 Nov 2026 00:00:20 GMT"),
            ],
            5_000,
        ),
        // A day, and what is no time at all: bounded, and unsaid.
        (&[("retry-after", "86400")], 300_000),
        (&[("retry-after", "31536000")], 1_000),
        (&[("retry-after", "0")], 1_000),
        (&[("retry-after", "Sun, 22 Nov 2026 23:59:50 GMT")], 1_000),
        (&[("retry-after", "-5")], 1_000),
        (&[("retry-after", "soon")], 1_000),
        (&[("retry-after", "1e99")], 1_000),
        (&[], 1_000),
    ];
    for (headers, millis) in cases {
        let expected = Some(Duration::from_millis(millis));
        assert_eq!(pause(429, headers).await, expected, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overload_pauses_only_if_it_says_for_how_long() {
    for status in [503, 529] {
        let told = pause(status, &[("retry-after", "3")]).await;
        assert_eq!(told, Some(Duration::from_secs(3)), "{status}");
        assert_eq!(pause(status, &[]).await, None, "{status}");
    }
    // Beside other failures it concerns the request alone.
    for status in [500, 413, 404] {
        assert_eq!(
            pause(status, &[("retry-after", "3")]).await,
            None,
            "{status}"
        );
    }
}
