//! The simulated provider: its limits are exact, its answers have the shapes clients read, and its
//! report tells what happened.
#![cfg(feature = "simulator")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use proactive_rate_limit::Charge;
use proactive_rate_limit::simulator::{
    Arrival, ChargedAt, Delivery, Report, Simulator, SimulatorBuilder,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use self::simulated::{
    CHAT, MESSAGES, always, chat, chat_body, events, header, millis, post, streamed, text, value,
};

mod simulated;

const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";

const WINDOW: Duration = Duration::from_secs(10);

fn simulator() -> SimulatorBuilder {
    Simulator::builder().window(WINDOW)
}

/// A client on the other end of an in-memory pipe.
async fn connect(simulator: &Simulator) -> SendRequest<Full<Bytes>> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let simulator = simulator.clone();
    tokio::spawn(async move { simulator.serve_connection(server).await });
    client_on(client).await.0
}

async fn client_on<I>(io: I) -> (SendRequest<Full<Bytes>>, tokio::task::JoinHandle<()>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(io)).await.expect("a connection");
    let driver = tokio::spawn(async move {
        // A server that cuts the connection is an error here; the tests look at their requests.
        let _ = connection.await;
    });
    (sender, driver)
}

async fn statuses(simulator: &Simulator, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        let response = simulator.handle(chat(1, 1)).await;
        statuses.push(response.status().as_u16());
        text(response).await;
    }
    statuses
}

// --- The limits -----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn the_limit_on_requests_is_exact_over_a_connection() {
    let simulator = simulator().requests(5).build();
    let mut client = connect(&simulator).await;
    let start = Instant::now();

    for remaining in ["4", "3", "2", "1", "0"] {
        let response = client.send_request(chat(1, 1)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "x-ratelimit-limit-requests"), Some("5"));
        assert_eq!(
            header(&response, "x-ratelimit-remaining-requests"),
            Some(remaining)
        );
        assert_eq!(header(&response, "x-ratelimit-reset-requests"), Some("10s"));
        assert_eq!(header(&response, "x-ratelimit-limit-tokens"), None);
        assert_eq!(header(&response, "retry-after"), None);
        text(response).await;
    }

    let refused = client.send_request(chat(1, 1)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("10"));
    assert_eq!(header(&refused, "retry-after-ms"), Some("10000"));
    text(refused).await;

    // One millisecond before the window has passed it is refused, at exactly 10 s it passes.
    advance(millis(9_999)).await;
    let refused = client.send_request(chat(1, 1)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(header(&refused, "retry-after-ms"), Some("1"));
    assert_eq!(header(&refused, "x-ratelimit-reset-requests"), Some("1ms"));
    text(refused).await;

    advance(millis(1)).await;
    let response = client.send_request(chat(1, 1)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    text(response).await;
    assert_eq!(start.elapsed(), WINDOW, "nothing else let time pass");

    let report = simulator.report();
    assert_eq!((report.arrived, report.answered), (8, 6));
    assert_eq!((report.throttled, report.failed), (2, 0));
    assert_eq!(report.requests.worst_window, 5);
    // The window that ends at 9.999 s, or that at 10 s.
    assert_eq!(report.worst_offered_requests, 7);
    assert_eq!(report.duration, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_as_told_is_admitted() {
    let simulator = simulator().requests(1).build();
    assert_eq!(statuses(&simulator, 1).await, [200]);
    advance(Duration::from_micros(2_500_300)).await;

    let refused = simulator.handle(chat(1, 1)).await;
    // 7,499.7 ms are left.
    assert_eq!(header(&refused, "retry-after-ms"), Some("7500"));
    assert_eq!(header(&refused, "retry-after"), Some("8"));

    advance(millis(7_500)).await;
    assert_eq!(statuses(&simulator, 1).await, [200]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_the_provider_says() {
    let simulator = simulator().requests(1).build();
    assert_eq!(statuses(&simulator, 1).await, [200]);
    advance(millis(8_500)).await;

    let refused = value(simulator.handle(chat(1, 1)).await).await;
    assert_eq!(
        refused,
        json!({
            "error": {
                "message": "Rate limit reached for gpt-test in organization org-simulator on \
                            requests per min (RPM): Limit 1, Used 1, Requested 1. \
                            Please try again in 1.5s. \
                            Visit https://platform.openai.com/account/rate-limits to learn more.",
                "type": "requests",
                "param": null,
                "code": "rate_limit_exceeded",
            },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn refused_requests_count_only_if_asked_to() {
    for (counts, third) in [(false, 200), (true, 429)] {
        let simulator = simulator().requests(1).refused_count(counts).build();
        assert_eq!(statuses(&simulator, 1).await, [200]);
        advance(millis(9_000)).await;
        let refused = simulator.handle(chat(1, 1)).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        // A refusal that counts has to be waited for, too.
        let wait = if counts { "10" } else { "1" };
        assert_eq!(header(&refused, "retry-after"), Some(wait));
        advance(millis(1_000)).await;

        assert_eq!(statuses(&simulator, 1).await, [third]);
        let counted = if counts { 3 } else { 2 };
        assert_eq!(simulator.report().requests.counted, counted);
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_that_lasts_longest_is_the_one_reported() {
    let simulator = simulator()
        .requests(2)
        .tokens(100)
        .output_tokens(always(0))
        .build();
    let input = |tokens| simulator.handle(chat(tokens, 1));
    assert_eq!(input(9).await.status(), StatusCode::OK); // 10 with its cap
    advance(millis(1_000)).await;
    assert_eq!(input(79).await.status(), StatusCode::OK);

    // A request is free after 9 s, but not 50 tokens.
    let refused = input(49).await;
    assert_eq!(header(&refused, "retry-after"), Some("10"));
    assert_eq!(value(refused).await["error"]["type"], "tokens");

    let refused = input(9).await;
    assert_eq!(header(&refused, "retry-after"), Some("9"));
    assert_eq!(value(refused).await["error"]["type"], "requests");
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_limit_is_never_admitted() {
    let simulator = simulator().tokens(100).build();

    let refused = simulator.handle(chat(31, 70)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), None);
    assert_eq!(header(&refused, "retry-after-ms"), None);
    let refused = value(refused).await;
    assert_eq!(
        refused["error"]["message"],
        "Request too large for gpt-test in organization org-simulator on tokens per min (TPM): \
         Limit 100, Requested 101. The input or output tokens must be reduced in order to run \
         successfully.",
    );
    assert_eq!(refused["error"]["code"], "rate_limit_exceeded");

    assert_eq!(
        simulator.handle(chat(30, 70)).await.status(),
        StatusCode::OK
    );
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_never_given_back() {
    let simulator = simulator().tokens(100).output_tokens(always(2)).build();

    let response = simulator.handle(chat(10, 50)).await;
    assert_eq!(header(&response, "x-ratelimit-limit-tokens"), Some("100"));
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some("40")
    );
    assert_eq!(header(&response, "x-ratelimit-reset-tokens"), Some("10s"));
    assert_eq!(value(response).await["usage"]["total_tokens"], 12);

    let refused = simulator.handle(chat(10, 31)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        simulator.handle(chat(10, 30)).await.status(),
        StatusCode::OK
    );
    assert_eq!(simulator.report().tokens.counted, 100);
}

#[tokio::test(start_paused = true)]
async fn without_a_cap_the_longest_answer_is_reserved() {
    let simulator = simulator().tokens(1_000).output_tokens(1..=300).build();
    let mut body = chat_body(10, 1);
    body["max_tokens"] = Value::Null;

    let response = simulator.handle(post(CHAT, body.to_string())).await;
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some("690")
    );
}

#[tokio::test(start_paused = true)]
async fn actual_tokens_are_counted_at_arrival() {
    let simulator = simulator()
        .tokens(100)
        .charge(Charge::Actual)
        .output_tokens(always(20))
        .answer_latency(always(millis(500)))
        .build();

    for remaining in ["70", "40", "10"] {
        let response = simulator.handle(chat(10, 1_000)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            header(&response, "x-ratelimit-remaining-tokens"),
            Some(remaining)
        );
    }
    let refused = simulator.handle(chat(10, 1_000)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // The first was counted at 0 s, and its answer took until 0.5 s.
    assert_eq!(header(&refused, "retry-after-ms"), Some("8500"));
}

#[tokio::test(start_paused = true)]
async fn actual_tokens_can_be_counted_at_the_end_of_the_answer() {
    let simulator = simulator()
        .tokens(100)
        .charge(Charge::Actual)
        .charged_at(ChargedAt::End)
        .output_tokens(always(80))
        .answer_latency(always(millis(1_000)))
        .stream_latency(always(millis(10)))
        .build();

    // Neither is counted while both are generated, so both fit.
    let both = join_all([
        simulator.handle(chat(20, 1_000)),
        simulator.handle(post(CHAT, streamed(chat_body(20, 1_000)))),
    ])
    .await;
    for response in &both {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            header(response, "x-ratelimit-remaining-tokens"),
            Some("100")
        );
    }
    let refused = simulator.handle(chat(1, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);

    // Generation goes on without its client.
    drop(both);
    sleep(millis(2_000)).await;
    let report = simulator.report();
    let counted: Vec<_> = report.arrivals().iter().map(|a| a.tokens_at).collect();
    assert_eq!(
        counted,
        [Some(millis(1_000)), Some(millis(1_000 + 80 * 10)), None]
    );
    assert_eq!(report.tokens.worst_window, 200, "more than the limit");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_refuses_for_ever() {
    let simulator = simulator().requests(0).build();
    let refused = simulator.handle(chat(1, 1)).await;

    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), None);
}

/// Random traffic in every mode, judged by counting over the whole log for each arrival.
#[test]
fn every_decision_and_every_maximum_agrees_with_brute_force() {
    for seed in 0..120 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (charge, charged_at) = match seed % 3 {
            0 => (Charge::Reserved, ChargedAt::Arrival),
            1 => (Charge::Actual, ChargedAt::Arrival),
            _ => (Charge::Actual, ChargedAt::End),
        };
        let report = runtime.block_on(random_traffic(seed, charge, charged_at));
        let postpaid = charged_at == ChargedAt::End;
        check_decisions(seed, report.arrivals(), postpaid);
        check_maxima(seed, &report);
    }
}

const RANDOM_REQUESTS: u64 = 10;
const RANDOM_TOKENS: u64 = 400;

async fn random_traffic(seed: u64, charge: Charge, charged_at: ChargedAt) -> Report {
    let mut rng = fastrand::Rng::with_seed(seed);
    let simulator = simulator()
        .requests(RANDOM_REQUESTS)
        .tokens(RANDOM_TOKENS)
        .charge(charge)
        .charged_at(charged_at)
        .arrival_latency(Duration::ZERO..=millis(700))
        .answer_latency(Duration::ZERO..=millis(3_000))
        .stream_latency(Duration::ZERO..=millis(20))
        .output_tokens(0..=80)
        .failure_rate(0.1)
        .seed(seed)
        .build();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..150 {
        // Whole seconds among them, so that entries meet the edges of windows.
        if rng.bool() {
            sleep(millis(*rng.choice(&[1, 250, 1_000, 2_000]).unwrap())).await;
        }
        let mut body = chat_body(rng.usize(0..60), rng.u64(1..=100));
        body["stream"] = rng.bool().into();
        let request = match rng.u8(0..20) {
            0 => post(CHAT, "{"),
            _ => post(CHAT, body.to_string()),
        };
        let patience = rng.bool().then(|| millis(rng.u64(0..3_000)));
        let simulator = simulator.clone();
        clients.spawn(async move {
            let exchange = async { text(simulator.handle(request).await).await };
            match patience {
                Some(patience) => drop(tokio::time::timeout(patience, exchange).await),
                None => drop(exchange.await),
            }
        });
    }
    clients.join_all().await;
    sleep(millis(60_000)).await;
    simulator.report()
}

fn within(end: Duration, log: impl Iterator<Item = (Duration, u64)>) -> u64 {
    log.filter(|&(at, _)| at <= end && at + WINDOW > end)
        .map(|(_, amount)| amount)
        .sum()
}

fn requests_of(arrivals: &[Arrival]) -> impl Iterator<Item = (Duration, u64)> {
    arrivals.iter().filter(|a| a.counted).map(|a| (a.at, 1))
}

fn tokens_of(arrivals: &[Arrival]) -> impl Iterator<Item = (Duration, u64)> {
    arrivals
        .iter()
        .filter_map(|a| a.tokens_at.map(|at| (at, a.tokens)))
}

fn check_decisions(seed: u64, arrivals: &[Arrival], postpaid: bool) {
    assert_eq!(arrivals.len(), 150, "seed {seed}");
    assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
    for (position, arrival) in arrivals.iter().enumerate() {
        let before = &arrivals[..position];
        let requests = within(arrival.at, requests_of(before));
        let tokens = within(arrival.at, tokens_of(before));
        let required = if postpaid {
            arrival.input_tokens
        } else {
            arrival.tokens
        };
        let fits =
            requests < RANDOM_REQUESTS && (required == 0 || tokens + required <= RANDOM_TOKENS);
        assert_eq!(arrival.admitted, fits, "seed {seed}: {arrival:?}");
        assert_eq!(arrival.counted, fits, "seed {seed}: {arrival:?}");
        assert_eq!(
            arrival.tokens_at.is_some(),
            fits && arrival.tokens > 0,
            "seed {seed}: {arrival:?}"
        );
    }
}

fn check_maxima(seed: u64, report: &Report) {
    let arrivals = report.arrivals();
    let worst = |log: Vec<(Duration, u64)>| {
        let ends = log.iter().map(|&(at, _)| at);
        ends.map(|end| within(end, log.iter().copied()))
            .max()
            .unwrap_or(0)
    };
    let requests = worst(requests_of(arrivals).collect());
    let offered = worst(arrivals.iter().map(|a| (a.at, 1)).collect());
    let tokens = worst(tokens_of(arrivals).collect());
    assert_eq!(report.requests.worst_window, requests, "seed {seed}");
    assert_eq!(report.worst_offered_requests, offered, "seed {seed}");
    assert_eq!(report.tokens.worst_window, tokens, "seed {seed}");

    assert!(requests <= RANDOM_REQUESTS, "seed {seed}");
    let share = report.requests.share_used.unwrap();
    assert!(share > 0.0 && share <= 1.0, "seed {seed}: {share}");
    assert_eq!(
        report.arrived,
        report.answered + report.throttled + report.failed
    );
    let open = arrivals
        .iter()
        .filter(|a| a.delivery == Delivery::InProgress);
    assert_eq!(open.count(), 0, "seed {seed}: every exchange has ended");
    assert!(report.clients_gone > 0, "seed {seed}: some were impatient");
}

// --- Time -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn latencies_are_before_and_after_the_count() {
    let simulator = simulator()
        .requests(100)
        .arrival_latency(always(millis(120)))
        .answer_latency(always(millis(300)))
        .build();
    let start = Instant::now();

    let response = simulator.handle(chat(1, 1)).await;
    assert_eq!(start.elapsed(), millis(420));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(simulator.report().arrivals()[0].at, millis(120));
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_a_token_after_each_delay() {
    let simulator = simulator()
        .output_tokens(always(3))
        .answer_latency(always(millis(100)))
        .stream_latency(always(millis(10)))
        .build();
    let mut client = connect(&simulator).await;
    let start = Instant::now();

    let request = post(CHAT, streamed(chat_body(1, 10)));
    let mut body = client.send_request(request).await.unwrap().into_body();
    let mut contents = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap().into_data().unwrap();
        for (_, event) in events(std::str::from_utf8(&frame).unwrap()) {
            if let Some(content) = event["choices"][0]["delta"]["content"].as_str() {
                contents.push((start.elapsed(), content.to_owned()));
            }
        }
    }
    assert_eq!(
        contents,
        [
            (millis(100), String::new()),
            (millis(110), "the ".to_owned()),
            (millis(120), "cat ".to_owned()),
            (millis(130), "saw ".to_owned()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_slow_the_generation() {
    let simulator = simulator()
        .output_tokens(always(50))
        .stream_latency(always(millis(10)))
        .build();
    let start = Instant::now();

    let request = post(CHAT, streamed(chat_body(1, 100)));
    let response = simulator.handle(request).await;
    sleep(millis(400)).await;
    text(response).await;
    assert_eq!(start.elapsed(), millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_client_gave_up_arrives_all_the_same() {
    let simulator = simulator()
        .requests(1)
        .arrival_latency(always(millis(100)))
        .build();
    let request = simulator.handle(chat(1, 1));
    assert!(tokio::time::timeout(millis(50), request).await.is_err());
    assert_eq!(simulator.report().arrived, 0, "still on its way");

    assert_eq!(statuses(&simulator, 1).await, [429]);
    let report = simulator.report();
    let gone = &report.arrivals()[0];
    assert_eq!((gone.at, gone.admitted), (millis(100), true));
    assert_eq!(gone.delivery, Delivery::ClientGone);
    assert_eq!(report.clients_gone, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_the_middle_of_a_stream_is_recorded() {
    let simulator = simulator()
        .output_tokens(always(100))
        .stream_latency(always(millis(10)))
        .build();
    let mut client = connect(&simulator).await;
    let response = client
        .send_request(post(CHAT, streamed(chat_body(1, 1_000))))
        .await
        .unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::InProgress
    );

    drop((body, client));
    sleep(millis(5_000)).await;
    let report = simulator.report();
    assert_eq!(report.arrivals()[0].delivery, Delivery::ClientGone);
    assert_eq!((report.answered, report.clients_gone), (1, 1));
    assert_eq!(report.output_tokens, 100, "generated all the same");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_answer_is_generated_is_recorded() {
    let simulator = simulator().answer_latency(always(millis(1_000))).build();
    let mut client = connect(&simulator).await;
    let request = client.send_request(chat(1, 1));
    assert!(tokio::time::timeout(millis(10), request).await.is_err());

    drop(client);
    sleep(millis(5_000)).await;
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::ClientGone
    );
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_request_never_arrives_and_blocks_nobody() {
    use tokio::io::AsyncWriteExt;

    let simulator = simulator().requests(1).build();
    let (mut client, server) = tokio::io::duplex(1024);
    let serving = tokio::spawn({
        let simulator = simulator.clone();
        async move { simulator.serve_connection(server).await }
    });
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ncontent-length: 100\r\n\r\n{";
    client.write_all(head.as_bytes()).await.unwrap();
    sleep(millis(1_000)).await;

    assert_eq!(statuses(&simulator, 1).await, [200]);
    drop(client);
    // How the connection ended is no matter here; that it did is.
    let _ = serving.await.unwrap();
    assert_eq!(simulator.report().arrived, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_answered_but_never_arrives() {
    let simulator = simulator().requests(1).build();
    let broken = futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"{"))),
        Err(std::io::Error::other("gone")),
    ]);
    let request = Request::post(CHAT)
        .body(http_body_util::StreamBody::new(broken))
        .unwrap();

    let response = simulator.handle(request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(simulator.report().arrived, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_too_much_is_told_so_and_blocks_nobody() {
    let simulator = simulator().build();
    let too_much = post(CHAT, vec![b' '; 17 * 1024 * 1024]);

    let response = connect(&simulator).await.send_request(too_much).await;
    assert_eq!(response.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let response = connect(&simulator).await.send_request(chat(1, 1)).await;
    assert_eq!(response.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn absurd_latencies_do_not_panic() {
    let simulator = simulator()
        .answer_latency(always(Duration::MAX))
        .arrival_latency(always(Duration::MAX))
        .build();
    let answer = simulator.handle(chat(1, u64::MAX));

    let year = Duration::from_secs(365 * 24 * 60 * 60);
    assert!(tokio::time::timeout(year, answer).await.is_err());
}

// --- Chance ---------------------------------------------------------------------------------

fn random(seed: u64) -> Simulator {
    simulator()
        .arrival_latency(Duration::ZERO..=millis(100))
        .answer_latency(Duration::ZERO..=millis(1_000))
        .output_tokens(1..=500)
        .failure_rate(0.2)
        .seed(seed)
        .build()
}

/// By index: when each request arrived, with how long an answer and which status.
fn drawn(report: &Report) -> Vec<(u64, u64, u16)> {
    let mut drawn: Vec<_> = report
        .arrivals()
        .iter()
        .map(|a| (a.index, a.output_tokens, a.status))
        .collect();
    drawn.sort_unstable();
    drawn
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_run() {
    let run = async |seed| {
        let simulator = random(seed);
        let mut texts = Vec::new();
        for _ in 0..20 {
            texts.push(text(simulator.handle(chat(1, 1_000)).await).await);
        }
        (texts, simulator.report().arrivals().to_vec())
    };

    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn concurrency_does_not_reorder_draws() {
    let one_by_one = random(1);
    for _ in 0..50 {
        one_by_one.handle(chat(1, 1_000)).await;
    }
    let together = random(1);
    join_all((0..50).map(|_| together.handle(chat(1, 1_000)))).await;

    assert_eq!(drawn(&one_by_one.report()), drawn(&together.report()));
}

#[tokio::test(start_paused = true)]
async fn failures_are_answers_with_status_500_that_count() {
    let simulator = simulator()
        .requests(1)
        .tokens(1_000)
        .charge(Charge::Actual)
        .failure_rate(1.0)
        .build();

    let response = simulator.handle(chat(10, 10)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        header(&response, "x-ratelimit-remaining-requests"),
        Some("0")
    );
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some("1000")
    );
    assert_eq!(value(response).await["error"]["type"], "server_error");
    let report = simulator.report();
    assert_eq!((report.failed, report.requests.counted), (1, 1));
    assert_eq!((report.input_tokens, report.output_tokens), (0, 0));
}

// --- Shapes ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn chat_in_json() {
    let simulator = simulator().output_tokens(always(30)).build();

    let answer = value(simulator.handle(chat(10, 100)).await).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "gpt-test");
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["role"], "assistant");
    let content = choice["message"]["content"].as_str().unwrap();
    assert_eq!(content.len(), 30 * 4, "costs 30 tokens when sent back");
    assert_eq!(answer["usage"]["prompt_tokens"], 10);
    assert_eq!(answer["usage"]["completion_tokens"], 30);
    assert_eq!(answer["usage"]["total_tokens"], 40);

    let cut = value(simulator.handle(chat(10, 20)).await).await;
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["usage"]["completion_tokens"], 20);
}

#[tokio::test(start_paused = true)]
async fn the_newer_name_of_the_cap_wins() {
    let simulator = simulator().output_tokens(always(30)).build();
    let mut body = chat_body(1, 20);
    body["max_completion_tokens"] = 5.into();

    let answer = value(simulator.handle(post(CHAT, body.to_string())).await).await;
    assert_eq!(answer["usage"]["completion_tokens"], 5);
}

fn chat_content(events: &[(Option<String>, Value)]) -> String {
    events
        .iter()
        .filter_map(|(_, event)| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_chat_stream_without_usage() {
    let simulator = simulator().output_tokens(always(30)).build();
    let request = || post(CHAT, streamed(chat_body(10, 100)));

    let response = simulator.handle(request()).await;
    assert_eq!(
        header(&response, "content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(response.body().size_hint().exact(), None);
    let events = events(&text(response).await);
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, (None, json!("[DONE]")));
    for (name, chunk) in chunks {
        assert_eq!(*name, None);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk.get("usage"), None);
        assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
    }
    assert_eq!(chunks[0].1["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[31].1["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks.len(), 32, "one to begin, one each token, one to end");
    assert_eq!(chat_content(&events).len(), 30 * 4);
}

#[tokio::test(start_paused = true)]
async fn a_chat_stream_with_usage() {
    let simulator = simulator().output_tokens(always(30)).build();
    let mut body = chat_body(10, 20);
    body["stream_options"] = json!({"include_usage": true});

    let response = simulator.handle(post(CHAT, streamed(body))).await;
    let events = events(&text(response).await);
    let [earlier @ .., (None, last), (None, done)] = &events[..] else {
        panic!("too short: {events:?}");
    };
    assert_eq!(*done, json!("[DONE]"));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 10);
    assert_eq!(last["usage"]["completion_tokens"], 20);
    assert_eq!(last["usage"]["total_tokens"], 30);
    for (_, chunk) in earlier {
        assert_eq!(chunk.get("usage"), Some(&Value::Null));
    }
    let (_, end) = earlier.last().unwrap();
    assert_eq!(end["choices"][0]["finish_reason"], "length");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_a_stream_too() {
    let simulator = simulator().output_tokens(always(0)).build();

    let response = simulator
        .handle(post(CHAT, streamed(chat_body(10, 20))))
        .await;
    let events = events(&text(response).await);
    assert_eq!(events.len(), 3);
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::Complete
    );
}

fn responses_body(max_output_tokens: u64) -> Value {
    json!({
        "model": "gpt-test",
        "instructions": "12345678",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "1234"}]}],
        "max_output_tokens": max_output_tokens,
    })
}

#[tokio::test(start_paused = true)]
async fn responses_in_json() {
    let simulator = simulator().output_tokens(always(30)).build();
    let send = |cap| simulator.handle(post(RESPONSES, responses_body(cap).to_string()));

    let answer = value(send(100).await).await;
    assert_eq!(answer["object"], "response");
    assert_eq!(answer["status"], "completed");
    let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(text.len(), 30 * 4);
    assert_eq!(answer["usage"]["input_tokens"], 3);
    assert_eq!(answer["usage"]["output_tokens"], 30);
    assert_eq!(answer["usage"]["total_tokens"], 33);

    let cut = value(send(20).await).await;
    assert_eq!(cut["status"], "incomplete");
    assert_eq!(cut["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test(start_paused = true)]
async fn responses_as_a_stream() {
    for (cap, end) in [(100, "response.completed"), (20, "response.incomplete")] {
        let simulator = simulator().output_tokens(always(30)).build();
        let request = post(RESPONSES, streamed(responses_body(cap)));

        let events = events(&text(simulator.handle(request).await).await);
        for (number, (name, event)) in events.iter().enumerate() {
            assert_eq!(event["type"].as_str(), name.as_deref());
            assert_eq!(event["sequence_number"], number);
        }
        assert_eq!(events[0].1["type"], "response.created");
        assert_eq!(events[0].1["response"]["usage"], Value::Null);
        let (_, last) = events.last().unwrap();
        assert_eq!(last["type"], end);
        let tokens = cap.min(30);
        assert_eq!(last["response"]["usage"]["output_tokens"], tokens);
        let deltas: String = events
            .iter()
            .filter_map(|(_, event)| event["delta"].as_str())
            .collect();
        assert_eq!(
            last["response"]["output"][0]["content"][0]["text"],
            deltas.as_str()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn embeddings_in_json() {
    let simulator = simulator().tokens(100).build();
    let body = json!({"model": "embed-test", "input": ["12345678", "1234"]});

    let response = simulator.handle(post(EMBEDDINGS, body.to_string())).await;
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some("97"),
        "no output is reserved"
    );
    let answer = value(response).await;
    assert_eq!(answer["object"], "list");
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 2);
    assert_eq!(data[1]["index"], 1);
    assert!(data[1]["embedding"][0].is_f64());
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 3})
    );
}

fn messages_body() -> Value {
    json!({
        "model": "claude-test",
        "system": "12345678",
        "messages": [{"role": "user", "content": "1234"}],
        "max_tokens": 100,
    })
}

#[tokio::test(start_paused = true)]
async fn messages_in_json() {
    let simulator = simulator().requests(1).output_tokens(always(30)).build();
    let send = || simulator.handle(post(MESSAGES, messages_body().to_string()));

    let answer = value(send().await).await;
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(answer["content"][0]["text"].as_str().unwrap().len(), 120);
    assert_eq!(answer["usage"]["input_tokens"], 3);
    assert_eq!(answer["usage"]["output_tokens"], 30);

    let refused = value(send().await).await;
    assert_eq!(refused["type"], "error");
    assert_eq!(refused["error"]["type"], "rate_limit_error");
    assert_eq!(refused["request_id"], "req_1");
}

#[tokio::test(start_paused = true)]
async fn messages_as_a_stream() {
    let simulator = simulator().output_tokens(always(30)).build();
    let request = post(MESSAGES, streamed(messages_body()));

    let events = events(&text(simulator.handle(request).await).await);
    for (name, event) in &events {
        assert_eq!(event["type"].as_str(), name.as_deref());
    }
    assert_eq!(events[0].1["type"], "message_start");
    assert_eq!(events[0].1["message"]["usage"]["input_tokens"], 3);
    let deltas = events
        .iter()
        .filter(|(_, event)| event["type"] == "content_block_delta");
    assert_eq!(deltas.count(), 30);
    let [.., (_, delta), (_, stop)] = &events[..] else {
        panic!("too short: {events:?}");
    };
    assert_eq!(delta["type"], "message_delta");
    assert_eq!(delta["delta"]["stop_reason"], "end_turn");
    assert_eq!(delta["usage"]["output_tokens"], 30);
    assert_eq!(stop["type"], "message_stop");
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_answered_in_the_shape_of_the_provider_and_counted() {
    let simulator = simulator().requests(100).build();
    let wrong_method = Request::get(CHAT).body(Full::default()).unwrap();
    let cases = [
        (post("/v1/unknown", "{}"), 404),
        (wrong_method, 405),
        (post(CHAT, "{"), 400),
        (post(CHAT, r#"{"messages": []}"#), 400),
        (post(CHAT, r#"{"messages": [{"content": "a"}]}"#), 400),
        (chat(1, 0), 400),
        (post(RESPONSES, r#"{"model": "m"}"#), 400),
        (post(EMBEDDINGS, r#"{"model": "m", "input": 1}"#), 400),
        (post(CHAT, vec![b' '; 16 * 1024 * 1024 + 1]), 413),
    ];
    let sent = cases.len();

    for (remaining, (request, status)) in (0..100).rev().zip(cases) {
        let response = simulator.handle(request).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(
            header(&response, "x-ratelimit-remaining-requests"),
            Some(&*remaining.to_string())
        );
        let body = value(response).await;
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].is_string());
    }
    let report = simulator.report();
    assert_eq!((report.arrived, report.failed), (sent as u64, sent as u64));
    assert_eq!(report.tokens.counted, 0);

    let response = simulator
        .handle(post(
            MESSAGES,
            r#"{"model": "m", "messages": [{"content": ""}]}"#,
        ))
        .await;
    let body = value(response).await;
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert_eq!(body["error"]["message"], "max_tokens: Field required");
}

// --- Ways to reach it -----------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn it_is_a_tower_service() {
    let simulator = simulator().requests(1).build();
    let service = tower::ServiceBuilder::new()
        .concurrency_limit(1)
        .service(simulator.clone());

    let response = service.clone().oneshot(chat(1, 1)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::InProgress
    );
    text(response).await;
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::Complete
    );

    let boxed = tower::util::BoxCloneSyncService::new(service);
    let response = boxed.oneshot(chat(1, 1)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn it_listens_on_loopback() {
    let server = simulator().requests(3).build().spawn().await.unwrap();
    assert!(server.addr().ip().is_loopback());
    assert_eq!(server.url(), format!("http://{}", server.addr()));

    let answers = join_all((0..4).map(|_| async {
        let stream = TcpStream::connect(server.addr()).await.unwrap();
        let (mut client, _driver) = client_on(stream).await;
        let response = client.send_request(chat(10, 10)).await.unwrap();
        let status = response.status().as_u16();
        value(response).await;
        status
    }))
    .await;
    assert_eq!(answers.iter().filter(|&&status| status == 200).count(), 3);
    assert_eq!(answers.iter().filter(|&&status| status == 429).count(), 1);
    assert_eq!(server.report().answered, 3);
    assert_eq!(server.simulator().report().throttled, 1);
    server.shutdown().await;
}

#[tokio::test]
async fn dropping_the_server_stops_it() {
    let server = simulator()
        .answer_latency(always(Duration::from_secs(3_600)))
        .build()
        .spawn()
        .await
        .unwrap();
    let (addr, simulator) = (server.addr(), server.simulator().clone());
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut client, driver) = client_on(stream).await;
    let answer = tokio::spawn(async move { client.send_request(chat(1, 1)).await });
    while simulator.report().arrived == 0 {
        tokio::task::yield_now().await;
    }

    drop(server);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await;
    let answer = answer.expect("not to be left waiting").unwrap();
    assert!(answer.is_err(), "the connection is cut");
    driver.await.unwrap();
    assert!(
        TcpStream::connect(addr).await.is_err(),
        "the port is closed"
    );
    assert_eq!(
        simulator.report().arrivals()[0].delivery,
        Delivery::ClientGone
    );
}

#[tokio::test]
async fn a_shutdown_lets_answers_end() {
    let server = simulator()
        .output_tokens(always(400))
        .build()
        .spawn()
        .await
        .unwrap();
    let addr = server.addr();
    let idle = TcpStream::connect(addr).await.unwrap();
    let (_idle, idle_driver) = client_on(idle).await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut client, _driver) = client_on(stream).await;
    // Each event repeats the name of the model: far more than the buffers of a socket hold, so the
    // answer cannot have been sent before somebody reads it.
    let mut body = chat_body(1, 1_000);
    body["model"] = "m".repeat(64 * 1024).into();
    let response = client
        .send_request(post(CHAT, streamed(body)))
        .await
        .unwrap();
    let delivery = server.report().arrivals()[0].delivery;
    assert_eq!(delivery, Delivery::InProgress);

    let ((), text) = tokio::join!(server.shutdown(), text(response));
    assert!(text.ends_with("data: [DONE]\n\n"));
    idle_driver.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

// --- The report -----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn the_report_reads_as_a_table() {
    let simulator = simulator().requests(4).output_tokens(always(5)).build();
    for _ in 0..2 {
        statuses(&simulator, 5).await;
        advance(WINDOW).await;
    }

    assert_eq!(
        simulator.report().to_string(),
        "                 limit       counted  worst window  share used\n\
         requests             4             8             4     100.0 %\n\
         tokens            none            16             8           -\n\
         10 arrived in 10.000s: 8 answered, 2 throttled, 0 failed; 0 clients left early\n\
         at most 5 offered in a window of 10s\n\
         8 input and 8 output tokens served"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_of_nothing_is_empty() {
    let report = simulator().requests(4).build().report();

    assert_eq!((report.arrived, report.requests.worst_window), (0, 0));
    assert_eq!(report.requests.share_used, None);
    assert_eq!(report.duration, Duration::ZERO);
    assert_eq!(report.arrivals(), []);
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn the_report_serializes_without_its_log() {
    let simulator = simulator().requests(4).build();
    text(simulator.handle(chat(1, 1)).await).await;
    let report = simulator.report();

    let serialized = serde_json::to_value(&report).unwrap();
    assert_eq!(serialized["arrived"], 1);
    assert_eq!(serialized["requests"]["share_used"], 0.25);
    assert_eq!(serialized.get("log"), None);
    let arrivals = serde_json::to_value(report.arrivals()).unwrap();
    assert_eq!(arrivals[0]["delivery"], "complete");
}
