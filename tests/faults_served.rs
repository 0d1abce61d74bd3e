//! Faults as a real HTTP client meets them: hyper's, over in-memory pipes on a paused clock, and
//! over loopback.

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::simulator::faults::{FaultKind, Faults, FaultyNetwork};
use support::loopback;
use support::piped::{PipedClient, chat, client, piped_http1, piped_http2};
use tokio::time::{Instant, sleep};

const URL: &str = "http://provider.test";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn always<T: Clone>(value: T) -> RangeInclusive<T> {
    value.clone()..=value
}

fn network(faults: Faults) -> FaultyNetwork<Simulator> {
    let simulator = Simulator::builder()
        .answer_latency(always(millis(100)))
        .output_tokens(always(40))
        .build();
    FaultyNetwork::new(simulator, faults)
}

/// The status and the bytes of an answer.
async fn send(client: &PipedClient, stream: bool) -> Result<(StatusCode, usize), Box<dyn Error>> {
    let response = client.request(chat(URL, 1, 40, stream)).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body.len()))
}

#[tokio::test(start_paused = true)]
async fn both_protocols_bring_whole_answers_and_failures() {
    for faults in [
        Faults::new(),
        Faults::new().inject(FaultKind::Overloaded, 1.0),
        Faults::new().inject(FaultKind::MalformedHeaders, 1.0),
        Faults::new().inject(FaultKind::DuplicateHeaders, 1.0),
        Faults::new().inject(FaultKind::BodyStall, 1.0),
        Faults::new().inject(FaultKind::ErrorEvent, 1.0),
    ] {
        for stream in [false, true] {
            let (first, second) = (network(faults.clone()), network(faults.clone()));
            let http1 = send(&piped_http1(&first), stream).await.unwrap();
            let http2 = send(&piped_http2(&second, 8), stream).await.unwrap();
            assert_eq!(http1, http2);
            assert_eq!(first.report(), second.report());
            assert_eq!(first.get_ref().report().answered, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_in_process_are_broken_connections_and_streams() {
    for (kind, arrived) in [
        (FaultKind::ConnectRefused, 0),
        (FaultKind::AnswerLost, 1),
        (FaultKind::BodyCut, 1),
    ] {
        let faults = Faults::new().inject(kind, 1.0);
        let (first, second) = (network(faults.clone()), network(faults));
        for stream in [false, true] {
            send(&piped_http1(&first), stream).await.unwrap_err();
            send(&piped_http2(&second, 8), stream).await.unwrap_err();
        }
        for network in [first, second] {
            assert_eq!(network.report().count(kind), 2);
            assert_eq!(network.get_ref().report().arrived, 2 * arrived, "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_cut_arrives() {
    let faults = Faults::new().inject(FaultKind::BodyCut, 1.0);
    let (first, second) = (network(faults.clone()), network(faults));
    for client in [piped_http1(&first), piped_http2(&second, 8)] {
        for stream in [false, true] {
            let response = client.request(chat(URL, 1, 40, stream)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let mut body = response.into_body();
            let mut passed = 0;
            while let Ok(frame) = body.frame().await.unwrap() {
                passed += frame.into_data().unwrap().len();
            }
            assert!(passed > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_few_streams_makes_the_others_wait() {
    let network = network(Faults::new());
    let client = piped_http2(&network, 2);
    // The peer's limit is known once its settings are here.
    send(&client, false).await.unwrap();
    let start = Instant::now();
    let answers = join_all((0..8).map(|_| send(&client, false))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(start.elapsed(), millis(400));
    let mut arrivals = BTreeMap::new();
    for arrival in &network.get_ref().report().arrivals()[1..] {
        *arrivals.entry(arrival.at.as_millis() - 100).or_insert(0) += 1;
    }
    assert_eq!(
        arrivals,
        BTreeMap::from([(0, 2), (100, 2), (200, 2), (300, 2)])
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_closes_after_an_answer_without_notice() {
    let faults = Faults::new()
        .inject(FaultKind::CloseAfterAnswer, 1.0)
        .close_delay(always(millis(50)));
    let network = network(faults);
    let client = piped_http1(&network);

    // Used again before it closes, it is cut with the second request under way on it.
    send(&client, false).await.unwrap();
    send(&client, false).await.unwrap_err();
    assert_eq!(network.report().count(FaultKind::CloseAfterAnswer), 1);
    sleep(millis(200)).await;
    assert_eq!(network.get_ref().report().arrived, 2);

    // Closed before it is used again, it is replaced.
    send(&client, false).await.unwrap();
    sleep(millis(51)).await;
    send(&client, false).await.unwrap();
    sleep(millis(51)).await;
    assert_eq!(network.report().count(FaultKind::CloseAfterAnswer), 3);
    assert_eq!(network.get_ref().report().arrived, 4);
}

/// Whatever the client thinks became of a request, it never reaches the provider twice.
#[tokio::test(start_paused = true)]
async fn a_request_that_races_a_close_arrives_once_at_most() {
    let faults = Faults::new()
        .inject(FaultKind::CloseAfterAnswer, 0.5)
        .close_delay(Duration::ZERO..=millis(20))
        .seed(5);
    let network = network(faults);
    let client = piped_http1(&network);
    let mut failed = 0;
    for pause in 0..1_000 {
        failed += u64::from(send(&client, false).await.is_err());
        sleep(millis(pause % 20)).await;
    }
    sleep(millis(200)).await;
    let (report, faults) = (network.get_ref().report(), network.report());
    println!("{failed} failed; {faults}; {report}");
    assert!(faults.count(FaultKind::CloseAfterAnswer) > 300);
    assert!((10..500).contains(&failed), "{failed}");
    assert!(report.arrived >= 1_000 - failed);
    assert!(report.arrived <= 1_000);
    assert_eq!(report.arrived, faults.requests);
}

#[tokio::test]
async fn loopback_is_served_as_pipes_are() {
    let faults = Faults::new()
        .inject(FaultKind::BodyCut, 0.2)
        .inject(FaultKind::Unavailable, 0.2)
        .inject(FaultKind::CloseAfterAnswer, 0.2)
        .close_delay(always(Duration::ZERO))
        .seed(8);
    let network = FaultyNetwork::new(Simulator::builder().build(), faults);
    let url = loopback::serve(&network).await;
    let client = client().build_http();
    let (mut whole, mut unavailable, mut broken) = (0, 0, 0);
    for _ in 0..200 {
        let response = match client.request(chat(&url, 1, 40, true)).await {
            Ok(response) => response,
            // It raced a close.
            Err(_) => {
                broken += 1;
                continue;
            }
        };
        unavailable += u64::from(response.status() == StatusCode::SERVICE_UNAVAILABLE);
        match response.into_body().collect().await {
            Ok(_) => whole += 1,
            Err(_) => broken += 1,
        }
    }
    let faults = network.report();
    assert_eq!(whole + broken, 200);
    assert!(broken >= faults.count(FaultKind::BodyCut), "{faults}");
    assert!(broken <= faults.count(FaultKind::BodyCut) + faults.count(FaultKind::CloseAfterAnswer));
    // A head gets lost with the connection that closes before it is read.
    let injected = faults.count(FaultKind::Unavailable);
    assert!(
        (1..=injected).contains(&unavailable),
        "{unavailable}, {faults}"
    );
    assert_eq!(network.get_ref().report().arrived, faults.requests);
}
