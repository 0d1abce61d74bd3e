//! Responses that are broken, hostile, or not what they seem: no byte is altered, nothing panics,
//! the budget is kept by the estimate, and the statistics say so.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::{
    BoxError, Charge, Limit, ProactiveRateLimitLayer, RateLimitTracker, Stats,
};
use support::{Body, Script, assert_at_rest, request, tier_charging};
use tower::{Layer, ServiceExt, service_fn};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What a request of this file reserves: a cap of 1,000, and a short prompt.
const CAP: u64 = 1_000;

fn chat() -> Request<Body> {
    request().map(|_| Full::from(format!(r#"{{"max_tokens":{CAP},"messages":[]}}"#)))
}

/// Passes `frames` through the layer; checks that they come out as they went in.
async fn pass(
    content_type: &'static str,
    encoding: Option<&'static str>,
    frames: Vec<Bytes>,
) -> Stats {
    let tier = tier_charging(Charge::Actual, [Limit::tokens(100_000).per_minute()]);
    let layer = ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new());
    let sent = frames.clone();
    let inner = service_fn(move |_: Request<Body>| {
        let frames = sent
            .iter()
            .cloned()
            .map(|data| Ok(Frame::data(data)))
            .collect();
        let mut response = Response::new(Script::new(frames, false));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let response = layer.layer(inner).oneshot(chat()).await.unwrap();
    let mut body = response.into_body();
    for frame in frames {
        let passed = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(passed, frame);
        assert_eq!(
            passed.as_ptr(),
            frame.as_ptr(),
            "the same buffer, not a copy"
        );
    }
    assert!(body.frame().await.is_none());
    drop(body);
    let stats = layer.stats().unwrap();
    assert_at_rest(&stats);
    stats
}

async fn pass_text(content_type: &'static str, text: &str) -> Stats {
    // In one frame, and in frames of a few bytes.
    let whole = pass(
        content_type,
        None,
        vec![Bytes::copy_from_slice(text.as_bytes())],
    )
    .await;
    let pieces = text
        .as_bytes()
        .chunks(3)
        .map(Bytes::copy_from_slice)
        .collect();
    let pieces = pass(content_type, None, pieces).await;
    assert_eq!(whole, pieces);
    whole
}

/// The estimate stands, and the response is counted as unreadable or as saying nothing.
fn assert_estimated(stats: &Stats, unreadable: bool) {
    let counted = (
        stats.usage_read,
        stats.usage_missing,
        stats.usage_unreadable,
    );
    let expected = if unreadable { (0, 0, 1) } else { (0, 1, 0) };
    assert_eq!(counted, expected, "read, missing, unreadable");
    assert!(stats.limits[0].used >= CAP, "{stats}");
}

fn assert_read(stats: &Stats, tokens: u64) {
    assert_eq!(
        (stats.usage_read, stats.limits[0].used),
        (1, tokens),
        "{stats}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_in_the_middle_of_its_json() {
    let stats = pass_text(JSON, r#"{"choices":[{"message":{"content":"hel"#).await;
    assert_estimated(&stats, true);
    let stats = pass_text(
        JSON,
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tok"#,
    )
    .await;
    assert_estimated(&stats, true);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_json() {
    assert_estimated(
        &pass_text(JSON, "<html>upstream sent an error</html>").await,
        true,
    );
    assert_estimated(&pass_text(JSON, "").await, false);
    assert_estimated(&pass_text(JSON, "\0\u{fffd}\u{202e}").await, true);
}

#[tokio::test(start_paused = true)]
async fn broken_events() {
    let broken = "data: {\"usage\":{\"total_tokens\":\n\ndata: nonsense\r\n\r\n:\n\n";
    assert_estimated(&pass_text(EVENTS, broken).await, true);
    // A broken event takes nothing else along.
    let mended =
        format!("{broken}data: {{\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":4}}}}\n\n");
    assert_read(&pass_text(EVENTS, &mended).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_final_usage_chunk() {
    let stream =
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\ndata: [DONE]\n\n";
    assert_estimated(&pass_text(EVENTS, stream).await, false);
}

#[tokio::test(start_paused = true)]
async fn numbers_that_are_none() {
    for number in [
        "-5",
        "1.5",
        "1e400",
        "99999999999999999999999999",
        "\"12\"",
        "[1]",
        "true",
    ] {
        let body = format!(r#"{{"usage":{{"prompt_tokens":{number},"completion_tokens":4}}}}"#);
        assert_estimated(&pass_text(JSON, &body).await, true);
    }
    // A number of a trillion tokens is nobody's usage.
    let huge = r#"{"usage":{"prompt_tokens":1000000000001,"completion_tokens":4}}"#;
    assert_estimated(&pass_text(JSON, huge).await, true);
    let missing = r#"{"usage":{}}"#;
    assert_estimated(&pass_text(JSON, missing).await, false);
    let float = r#"{"usage":{"prompt_tokens":3.0,"completion_tokens":4.0}}"#;
    assert_read(&pass_text(JSON, float).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_compressed_body() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0x2a, 0x2d];
    let stats = pass(JSON, Some("gzip"), vec![Bytes::from_static(gzip)]).await;
    assert_estimated(&stats, true);
}

#[tokio::test(start_paused = true)]
async fn a_usage_object_in_somebodys_text() {
    let text = r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"},"usage":{"prompt_tokens":1,"completion_tokens":1}}]}"#;
    assert_estimated(&pass_text(JSON, text).await, false);
    let real = text.replacen(
        '{',
        r#"{"usage":{"prompt_tokens":30,"completion_tokens":40},"#,
        1,
    );
    assert_read(&pass_text(JSON, &real).await, 70);
}

#[tokio::test(start_paused = true)]
async fn a_line_of_ten_megabytes() {
    let filler = Bytes::from(vec![b'x'; 1 << 20]);
    let mut frames = vec![Bytes::from_static(b"data: {\"delta\":\"")];
    frames.extend(std::iter::repeat_n(filler, 10));
    frames.push(Bytes::from_static(
        b"\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\ndata: [DONE]\n\n",
    ));
    assert_read(&pass(EVENTS, None, frames).await, 11);
}

/// The reader keeps a fixed number of bytes, whatever passes: there is no buffer in it that could
/// grow. What is left to show is that it gets to the end.
#[tokio::test(start_paused = true)]
async fn a_body_of_a_hundred_megabytes() {
    let filler = Bytes::from(vec![b'x'; 1 << 20]);
    let mut frames = vec![Bytes::from_static(b"{\"choices\":[\"")];
    frames.extend(std::iter::repeat_n(filler, 100));
    frames.push(Bytes::from_static(
        b"\"],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}",
    ));
    assert_read(&pass(JSON, None, frames).await, 11);
}

#[tokio::test(start_paused = true)]
async fn brackets_without_end() {
    let deep = Bytes::from(vec![b'['; 1 << 20]);
    let stats = pass(JSON, None, vec![deep; 4]).await;
    assert_estimated(&stats, true);
}

/// A usage beyond what was reserved is counted all the same: the provider has counted it too.
#[tokio::test(start_paused = true)]
async fn a_usage_beyond_the_reserve() {
    let body = r#"{"usage":{"prompt_tokens":90000,"completion_tokens":9000}}"#;
    assert_read(&pass_text(JSON, body).await, 99_000);
}

/// Many clients stop at `[DONE]` and drop what is left of the body.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_after_its_last_event() {
    let tier = tier_charging(Charge::Actual, [Limit::tokens(100_000).per_minute()]);
    let layer = ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new());
    let inner = service_fn(|_: Request<Body>| {
        let frames = [
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
            "data: [DONE]\n\n",
        ];
        let frames = frames.map(|frame| Ok(Frame::data(Bytes::from_static(frame.as_bytes()))));
        let mut response = Response::new(Script::new(frames.into(), false));
        let events = HeaderValue::from_static(EVENTS);
        response.headers_mut().insert(header::CONTENT_TYPE, events);
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let service = layer.layer(inner);
    let mut body = service.clone().oneshot(chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let stats = layer.stats().unwrap();
    assert_eq!(
        (stats.settled, stats.abandoned, stats.limits[0].used),
        (1, 0, 7)
    );

    // Before that, what it says it used so far need not be all.
    let mut body = service.oneshot(chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let stats = layer.stats().unwrap();
    assert_eq!((stats.settled, stats.abandoned), (1, 1));
    assert!(stats.limits[0].used > 7 + CAP, "{stats}");
}

/// Nothing of this waits: frames are not held back for the reader.
#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_delayed() {
    let start = tokio::time::Instant::now();
    pass_text(EVENTS, "data: {}\n\n").await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}
