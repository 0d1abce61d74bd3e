//! Faults between a client and a provider: each happens as it is described, to the provider as well
//! as to the client, and a seed tells which and when.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::simulator::faults::{
    FaultKind, FaultReport, Faults, FaultyBody, FaultyNetwork,
};
use proactive_rate_limit::simulator::{Delivery, Simulator, SimulatorBody};
use tokio::time::{Instant, timeout};
use tower::{ServiceExt, service_fn};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

type Answer = Response<FaultyBody<SimulatorBody>>;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn always<T: Clone>(value: T) -> RangeInclusive<T> {
    value.clone()..=value
}

/// A provider that refuses the third request, and a network on which this fault always happens.
fn network(kind: FaultKind) -> FaultyNetwork<Simulator> {
    let faults = Faults::new()
        .inject(kind, 1.0)
        .connect_delay(always(millis(70)))
        .head_delay(always(millis(300)))
        .stall(always(millis(9_000)))
        .retry_after(always(millis(1_500)));
    over(faults)
}

fn over(faults: Faults) -> FaultyNetwork<Simulator> {
    let simulator = Simulator::builder()
        .requests(2)
        .output_tokens(always(40))
        .build();
    FaultyNetwork::new(simulator, faults)
}

fn post(path: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"model":"test","max_tokens":40,"stream":{stream},
            "messages":[{{"role":"user","content":"Hello!"}}]}}"#
    );
    Request::post(path)
        .header(http::header::HOST, "provider.test")
        .body(body.into())
        .unwrap()
}

async fn send(network: &FaultyNetwork<Simulator>) -> io::Result<Answer> {
    network.clone().oneshot(post(CHAT, false)).await
}

async fn text(answer: Answer) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn header<'a, B>(answer: &'a Response<B>, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_is_changed() {
    let network = over(Faults::new());
    let plain = over(Faults::new()).get_ref().clone();
    for request in [
        || post(CHAT, false),
        || post(MESSAGES, true),
        || post("/", false),
    ] {
        let expected = plain.handle(request()).await;
        let answer = network.clone().oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), expected.status());
        assert_eq!(answer.headers(), expected.headers());
        let (body, expected_body) = (answer.into_body(), expected.into_body());
        assert_eq!(body.size_hint().exact(), expected_body.size_hint().exact());
        assert_eq!(body.is_end_stream(), expected_body.is_end_stream());
        assert_eq!(
            body.collect().await.unwrap().to_bytes(),
            expected_body.collect().await.unwrap().to_bytes()
        );
    }
    assert_eq!(network.get_ref().report(), plain.report());
    assert_eq!(
        (network.report().requests, network.report().total()),
        (3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_unknown_to_the_provider() {
    let network = network(FaultKind::ConnectRefused);
    let error = send(&network).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(network.get_ref().report().arrived, 0);
    assert_eq!(network.report().count(FaultKind::ConnectRefused), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_delays_the_arrival_and_can_be_called_back() {
    let network = network(FaultKind::ConnectDelay);
    assert!(send(&network).await.unwrap().status().is_success());
    assert!(timeout(millis(60), send(&network)).await.is_err());
    tokio::time::sleep(millis(100)).await;
    let report = network.get_ref().report();
    assert_eq!(report.arrived, 1);
    assert_eq!(report.arrivals()[0].at, millis(70));
    assert_eq!(network.report().count(FaultKind::ConnectDelay), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_was_counted() {
    let network = network(FaultKind::AnswerLost);
    let error = send(&network).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let report = network.get_ref().report();
    assert_eq!((report.answered, report.clients_gone), (1, 1));
    assert_eq!(network.report().count(FaultKind::AnswerLost), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_head_was_counted_in_time() {
    let network = network(FaultKind::HeadDelay);
    let start = Instant::now();
    let answer = send(&network).await.unwrap();
    assert_eq!(start.elapsed(), millis(300));
    assert!(answer.status().is_success());
    let report = network.get_ref().report();
    assert_eq!(report.arrivals()[0].at, Duration::ZERO);
    assert_eq!(network.report().count(FaultKind::HeadDelay), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_out_of_nowhere_have_the_providers_shape() {
    for (kind, status, openai, anthropic) in [
        (FaultKind::ServerError, 500, "server_error", "api_error"),
        (
            FaultKind::Unavailable,
            503,
            "server_error",
            "overloaded_error",
        ),
        (
            FaultKind::Overloaded,
            529,
            "server_error",
            "overloaded_error",
        ),
        (FaultKind::Throttled, 429, "requests", "rate_limit_error"),
    ] {
        let network = network(kind);
        for (path, error) in [(CHAT, openai), (MESSAGES, anthropic)] {
            let answer = network.clone().oneshot(post(path, true)).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(
                header(&answer, CONTENT_TYPE.as_str()),
                Some("application/json")
            );
            let body: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
            assert_eq!(body["error"]["type"], error);
        }
        let report = network.get_ref().report();
        assert_eq!((report.answered, report.clients_gone), (2, 2), "{kind}");
        assert_eq!(network.report().count(kind), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn injected_refusals_ask_to_wait_and_failures_do_now_and_then() {
    let network = network(FaultKind::Throttled);
    let answer = send(&network).await.unwrap();
    assert_eq!(header(&answer, RETRY_AFTER.as_str()), Some("2"));
    assert_eq!(header(&answer, "retry-after-ms"), Some("1500"));

    let network = self::network(FaultKind::Unavailable);
    let mut asked = 0;
    for _ in 0..100 {
        let answer = send(&network).await.unwrap();
        asked += u32::from(header(&answer, RETRY_AFTER.as_str()) == Some("2"));
    }
    assert!((30..70).contains(&asked), "{asked} of 100");
}

/// Sends the request that the provider refuses.
async fn refused(network: &FaultyNetwork<Simulator>) -> Answer {
    for _ in 0..2 {
        let answer = send(network).await.unwrap();
        assert!(answer.status().is_success());
        assert_eq!(header(&answer, RETRY_AFTER.as_str()), None);
    }
    assert_eq!(network.report().total(), 0, "only refusals are rewritten");
    let answer = send(network).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    answer
}

#[tokio::test(start_paused = true)]
async fn real_refusals_are_rewritten() {
    for (kind, seconds, millis) in [
        (FaultKind::RetryAfterAbsent, None, None),
        (FaultKind::RetryAfterZero, Some("0"), None),
        (FaultKind::RetryAfterYear, Some("31536000"), None),
        (FaultKind::RetryAfterMillis, None, Some("1500")),
    ] {
        let network = network(kind);
        let answer = refused(&network).await;
        assert_eq!(header(&answer, RETRY_AFTER.as_str()), seconds, "{kind}");
        assert_eq!(header(&answer, "retry-after-ms"), millis, "{kind}");
        assert_eq!(network.report().count(kind), 1);
    }
    for (kind, seconds) in [
        (FaultKind::RetryAfterPastDate, -2),
        (FaultKind::RetryAfterFutureDate, 2),
    ] {
        let answer = refused(&network(kind)).await;
        let date = |name: http::HeaderName| {
            let date = httpdate::parse_http_date(header(&answer, name.as_str()).unwrap()).unwrap();
            date.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs() as i64
        };
        assert_eq!(date(RETRY_AFTER) - date(DATE), seconds, "{kind}");
    }
    let answer = refused(&network(FaultKind::RetryAfterNonsense)).await;
    let nonsense = answer.headers()[RETRY_AFTER].to_str().unwrap_or("not text");
    assert!(nonsense.parse::<u32>().is_err(), "{nonsense}");
    assert!(httpdate::parse_http_date(nonsense).is_err(), "{nonsense}");
}

#[tokio::test(start_paused = true)]
async fn headers_about_limits_are_doubled_or_spoilt() {
    let network = network(FaultKind::DuplicateHeaders);
    let answer = send(&network).await.unwrap();
    let all = |name| {
        let values = answer.headers().get_all(name).iter();
        let mut values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(all("x-ratelimit-limit-requests"), ["1", "2"]);
    assert_eq!(all("x-ratelimit-remaining-requests"), ["1", "1"]);
    assert_eq!(all("x-ratelimit-reset-requests"), ["1m0s", "1m0s"]);
    assert_eq!(all("content-type"), ["application/json"]);
    assert_eq!(network.report().count(FaultKind::DuplicateHeaders), 1);

    let network = self::network(FaultKind::MalformedHeaders);
    let mut not_ascii = 0;
    for _ in 0..100 {
        let answer = send(&network).await.unwrap();
        for name in [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
        ] {
            let value = &answer.headers()[name];
            let text = value.to_str();
            not_ascii += u32::from(text.is_err());
            assert!(
                text.unwrap_or_default().parse::<u64>().is_err(),
                "{value:?}"
            );
        }
    }
    assert!(not_ascii > 0);
    assert_eq!(network.report().count(FaultKind::MalformedHeaders), 100);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_redirected_once_to_where_it_went() {
    let network = network(FaultKind::Redirect);
    let answer = send(&network).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = header(&answer, LOCATION.as_str()).unwrap();
    assert_eq!(location, "/v1/chat/completions?redirected");
    let answer = network
        .clone()
        .oneshot(post(location, false))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(network.get_ref().report().answered, 2);
    assert_eq!(network.report().count(FaultKind::Redirect), 1);
}

/// What passes of a body, after how long, and how it ends.
async fn read(mut body: FaultyBody<SimulatorBody>) -> (String, Option<io::Error>) {
    let mut passed = Vec::new();
    loop {
        let is_end = body.is_end_stream();
        match body.frame().await {
            Some(Ok(frame)) => {
                assert!(!is_end);
                passed.extend(frame.into_data().unwrap());
            }
            ended => {
                let passed = String::from_utf8(passed).unwrap();
                return (passed, ended.map(Result::unwrap_err));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_stalls_and_goes_on() {
    for stream in [false, true] {
        let network = network(FaultKind::BodyStall);
        let whole = over(Faults::new())
            .oneshot(post(CHAT, stream))
            .await
            .unwrap();
        let answer = network.clone().oneshot(post(CHAT, stream)).await.unwrap();
        let start = Instant::now();
        let (passed, error) = read(answer.into_body()).await;
        assert_eq!(start.elapsed(), millis(9_000));
        assert!(error.is_none());
        assert_eq!(passed, text(whole).await);
        assert_eq!(network.report().count(FaultKind::BodyStall), 1);
        assert_eq!(network.get_ref().report().clients_gone, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_cut_within() {
    for stream in [false, true] {
        let mut lengths = std::collections::HashSet::new();
        for seed in 0..20 {
            let faults = Faults::new().inject(FaultKind::BodyCut, 1.0).seed(seed);
            let network = over(faults);
            let whole = over(Faults::new())
                .oneshot(post(CHAT, stream))
                .await
                .unwrap();
            let whole = text(whole).await;
            let answer = network.clone().oneshot(post(CHAT, stream)).await.unwrap();
            let (passed, error) = read(answer.into_body()).await;
            assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionReset);
            assert!(whole.starts_with(&passed) && passed.len() < whole.len());
            lengths.insert(passed.len());
            assert_eq!(network.report().count(FaultKind::BodyCut), 1);
            let delivery = network.get_ref().report().arrivals()[0].delivery;
            let expected = if stream {
                Delivery::ClientGone
            } else {
                Delivery::Complete
            };
            assert_eq!(delivery, expected, "seed {seed}");
        }
        assert!(lengths.len() > 15, "{lengths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hangs_never_ends_and_can_be_dropped() {
    let network = network(FaultKind::BodyHang);
    let answer = network.clone().oneshot(post(CHAT, true)).await.unwrap();
    let mut body = answer.into_body();
    let day = Duration::from_secs(86_400);
    let reading = async { while body.frame().await.is_some() {} };
    assert!(timeout(day, reading).await.is_err());
    assert_eq!(network.report().count(FaultKind::BodyHang), 1);
    assert_eq!(network.get_ref().report().clients_gone, 0);
    drop(body);
    assert_eq!(network.get_ref().report().clients_gone, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_event_ends_a_stream_between_two_events() {
    for (path, last) in [
        (CHAT, "data: {\"error\":"),
        (MESSAGES, "event: error\ndata: {"),
    ] {
        let network = network(FaultKind::ErrorEvent);
        let whole = over(Faults::new()).oneshot(post(path, true)).await.unwrap();
        let whole = text(whole).await;
        let answer = network.clone().oneshot(post(path, true)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let (passed, error) = read(answer.into_body()).await;
        assert!(error.is_none());
        let passed = passed.strip_suffix("\n\n").unwrap();
        let (before, error) = passed.rsplit_once("\n\n").unwrap();
        assert!(error.starts_with(last), "{error}");
        assert!(whole.starts_with(before) && before.len() < whole.len());
        assert_eq!(network.report().count(FaultKind::ErrorEvent), 1);

        let answer = network.clone().oneshot(post(path, false)).await.unwrap();
        let (_, error) = read(answer.into_body()).await;
        assert!(error.is_none());
        assert_eq!(network.report().count(FaultKind::ErrorEvent), 1);
    }
}

/// A provider whose answers are all alike.
async fn answer(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let stream = request.headers().contains_key("stream");
    let content_type = if stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let answer = Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header("x-ratelimit-limit-requests", "60")
        .body(Full::from("data: {}\n\n".repeat(1_000)));
    Ok(answer.unwrap())
}

/// What becomes of each of 1,000 requests, so many of them at a time.
async fn ends(seed: u64, at_a_time: u64) -> (Vec<String>, FaultReport) {
    let faults = Faults::new().inject_all(0.05).seed(seed);
    let network = FaultyNetwork::new(service_fn(answer), faults);
    let end = |number: u64| {
        let mut request = post(CHAT, false);
        if number % 2 == 0 {
            let stream = HeaderValue::from_static("yes");
            request.headers_mut().insert("stream", stream);
        }
        let answer = network.clone().oneshot(request);
        async move {
            let answer = match answer.await {
                Ok(answer) => answer,
                Err(error) => return format!("{error:?}"),
            };
            let (head, body) = answer.into_parts();
            let patience = Duration::from_secs(60);
            let end = timeout(patience, body.collect()).await;
            let end = end.map(|body| body.map(|body| body.to_bytes().len()));
            let mut headers = head.headers;
            // The moment of an answer does depend on what came before.
            if headers.remove(DATE).is_some() {
                headers.remove(RETRY_AFTER);
            }
            format!("{} {headers:?} {end:?}", head.status)
        }
    };
    let mut ends = Vec::new();
    for first in (0..1_000).step_by(at_a_time as usize) {
        ends.extend(join_all((first..first + at_a_time).map(end)).await);
    }
    (ends, network.report())
}

#[tokio::test(start_paused = true)]
async fn everything_happens_and_a_seed_tells_what_whatever_runs_beside_it() {
    let (sequential, report) = ends(1, 1).await;
    println!("{report}");
    assert_eq!(report.requests, 1_000);
    let missing: Vec<_> = report.missing().collect();
    assert_eq!(missing, [FaultKind::CloseAfterAnswer], "no connection");
    for at_a_time in [4, 100, 1_000] {
        let (concurrent, concurrent_report) = ends(1, at_a_time).await;
        for (number, (end, expected)) in concurrent.iter().zip(&sequential).enumerate() {
            assert_eq!(end, expected, "request {number} of {at_a_time} at a time");
        }
        assert_eq!(concurrent_report, report);
    }
    let (others, _) = ends(2, 1).await;
    assert!(others != sequential);
}
