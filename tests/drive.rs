//! The example `drive`, run as a program against a provider it has never seen.

use std::path::PathBuf;
use std::time::Duration;

use proactive_rate_limit::Charge;
use proactive_rate_limit::simulator::Simulator;
use serde_json::Value;
use tokio::process::Command;

/// `cargo test` builds the examples beside the tests.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "run `cargo build --examples` first");
    path
}

async fn drive(url: &str, options: &[&str]) -> Value {
    let output = Command::new(example("drive"))
        .args(["--base-url", url, "--model", "test-model"])
        .args(options)
        .env_remove("OPENAI_API_KEY")
        .output()
        .await
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(text.lines().last().expect("a last line")).expect("a JSON object")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturating_run_is_never_refused_and_adds_up() {
    let server = Simulator::builder()
        .requests(200)
        .tokens(20_000)
        .charge(Charge::Actual)
        .window(Duration::from_secs(2))
        .arrival_latency(Duration::ZERO..=Duration::from_millis(50))
        .answer_latency(Duration::ZERO..=Duration::from_millis(50))
        .output_tokens(1..=100)
        .seed(5)
        .build()
        .spawn()
        .await
        .unwrap();
    let limits = [
        "--rpm", "200", "--tpm", "20000", "--window", "2", "--charge", "actual",
    ];
    let work = [
        "--requests",
        "500",
        "--concurrency",
        "64",
        "--prompt-tokens",
        "10..100",
    ];
    let rest = [
        "--max-tokens",
        "100",
        "--max-skew",
        "200",
        "--seed",
        "7",
        "--stream",
    ];
    let result = drive(&server.url(), &[&limits[..], &work, &rest].concat()).await;
    let report = server.report();
    println!("{result}\n{report}");

    assert_eq!(result["requests"], 500);
    assert_eq!(result["ok"], 500);
    for nothing in ["throttled", "failed", "wait_timeouts"] {
        assert_eq!(result[nothing], 0, "{nothing}");
    }
    assert_eq!(result["input_tokens"], report.input_tokens);
    assert_eq!(result["output_tokens"], report.output_tokens);
    assert_eq!(result["stats"]["total_requests"], 500);
    assert_eq!(result["stats"]["usage_read"], 500);
    assert!(result["p50_ms"].as_f64() <= result["p99_ms"].as_f64());
    assert!(result["seconds"].as_f64() > Some(0.0));
    assert_eq!(report.throttled, 0);
    assert!(report.requests.worst_window <= 198);
    assert!(report.tokens.worst_window <= 19_998);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_that_are_too_long_and_failures_are_told_apart() {
    let server = Simulator::builder()
        .failure_rate(1.0)
        .build()
        .spawn()
        .await
        .unwrap();
    let result = drive(
        &format!("{}/v1/", server.url()),
        &[
            "--requests",
            "20",
            "--rpm",
            "7",
            "--window",
            "60",
            "--max-wait",
            "0.1",
        ],
    )
    .await;
    // The second slot comes after 8.6 s.
    assert_eq!(result["failed"], 1, "{result}");
    assert_eq!(result["wait_timeouts"], 19, "{result}");
    assert_eq!(result["ok"], 0, "{result}");
    assert_eq!(result["p50_ms"], Value::Null);
}

/// A server that takes requests, says nothing, and remembers what it was asked for.
async fn silent() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            let _ = stream.read_line(&mut line).await;
            let _ = asked.send(line);
            open.push(stream);
        }
    });
    (format!("http://{address}"), requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_costs_the_timeout_and_no_more() {
    let (url, mut requests) = silent().await;
    let url = format!("{url}/openai/v1/?api-version=1");
    let options = ["--requests", "2", "--timeout", "0.3", "--max-wait", "100"];
    let result = drive(&url, &options).await;
    assert_eq!(result["failed"], 2, "{result}");
    assert!(result["seconds"].as_f64() < Some(5.0), "{result}");
    let asked = requests.recv().await.unwrap();
    assert_eq!(
        asked.trim_end(),
        "POST /openai/v1/chat/completions?api-version=1 HTTP/1.1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_the_limit_fails_at_once() {
    let server = Simulator::builder().build().spawn().await.unwrap();
    let options = ["--requests", "3", "--tpm", "50", "--max-tokens", "500"];
    let result = drive(&server.url(), &options).await;
    assert_eq!(result["failed"], 3, "{result}");
    assert_eq!(result["stats"]["too_large"], 3, "{result}");
    assert_eq!(server.report().arrived, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_a_failure() {
    let gone = Simulator::builder().build().spawn().await.unwrap();
    let url = gone.url();
    gone.shutdown().await;
    let result = drive(&url, &["--requests", "3"]).await;
    assert_eq!(result["failed"], 3, "{result}");
    assert_eq!(result["stats"]["abandoned"], 3, "{result}");
}
