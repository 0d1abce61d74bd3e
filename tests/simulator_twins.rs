//! The twins of real providers: each enforces, charges, tells and refuses as its provider does, to
//! the letter of its headers and bodies.
#![cfg(feature = "simulator")]

use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::Limit;
use proactive_rate_limit::simulator::{Account, Simulator, SimulatorBody, Twin};
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use self::simulated::{
    CHAT, MESSAGES, always, chat, chat_body, events, header, millis, post, secs, streamed, text,
    value,
};

mod simulated;

const TWINS: [Twin; 9] = [
    Twin::OpenAi,
    Twin::Azure,
    Twin::Anthropic,
    Twin::Gemini,
    Twin::Groq,
    Twin::Mistral,
    Twin::XAi,
    Twin::Together,
    Twin::DeepSeek,
];

/// Asserts each of these headers, or that it is absent.
fn assert_headers<B>(response: &Response<B>, expected: &[(&str, Option<&str>)]) {
    for &(name, value) in expected {
        assert_eq!(header(response, name), value, "{name}");
    }
}

/// The names of all headers about limits.
fn limit_headers<B>(response: &Response<B>) -> Vec<&str> {
    let names = response.headers().keys().map(http::HeaderName::as_str);
    let mut names: Vec<_> = names
        .filter(|name| name.contains("limit") || name.contains("retry"))
        .collect();
    names.sort_unstable();
    names
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

fn admitted(statuses: &[u16]) -> usize {
    statuses.iter().filter(|&&status| status == 200).count()
}

// --- OpenAI ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn openai_charges_the_larger_of_prompt_and_cap_and_refills_continuously() {
    let openai = Simulator::twin(Twin::OpenAi)
        .requests(500)
        .tokens(200_000)
        .output_tokens(always(5))
        .build();

    let response = openai.handle(chat(10, 199_000)).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit-requests", Some("500")),
            ("x-ratelimit-remaining-requests", Some("499")),
            ("x-ratelimit-reset-requests", Some("120ms")),
            ("x-ratelimit-limit-tokens", Some("200000")),
            ("x-ratelimit-remaining-tokens", Some("1000")),
            ("x-ratelimit-reset-tokens", Some("59.7s")),
            ("retry-after", None),
            ("date", Some("Fri, 15 Jan 2027 08:00:00 GMT")),
        ],
    );

    // A prompt larger than its cap is what counts.
    let refused = openai.handle(chat(2_000, 100)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(
        &refused,
        &[
            // Requests that do not succeed count, too.
            ("x-ratelimit-remaining-requests", Some("498")),
            ("x-ratelimit-remaining-tokens", Some("1000")),
            ("retry-after", Some("1")),
            ("retry-after-ms", Some("300")),
        ],
    );
    assert_eq!(
        value(refused).await,
        json!({
            "error": {
                "message": "Rate limit reached for gpt-test in organization org-simulator on \
                            tokens per min (TPM): Limit 200000, Used 199000, Requested 2000. \
                            Please try again in 300ms. \
                            Visit https://platform.openai.com/account/rate-limits to learn more.",
                "type": "tokens",
                "param": null,
                "code": "rate_limit_exceeded",
            },
        })
    );

    advance(millis(300)).await;
    let response = openai.handle(chat(2_000, 100)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_headers(&response, &[("x-ratelimit-remaining-tokens", Some("0"))]);
    // Nothing of the reservations was given back, although 5 tokens were used of each.
    let report = openai.report();
    assert_eq!(report.tokens.counted, 201_000);
    assert_eq!(report.requests.counted, 3);
    assert_eq!(
        report.tokens.worst_window, 201_000,
        "a bucket and its refill"
    );
}

#[tokio::test(start_paused = true)]
async fn openai_never_admits_a_request_larger_than_its_bucket() {
    let openai = Simulator::twin(Twin::OpenAi).tokens(30_000).build();

    let refused = openai.handle(chat(1, 31_756)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(&refused, &[("retry-after", None), ("retry-after-ms", None)]);
    let body = value(refused).await;
    assert_eq!(
        body["error"]["message"],
        "Request too large for gpt-test in organization org-simulator on tokens per min (TPM): \
         Limit 30000, Requested 31756. The input or output tokens must be reduced in order to run \
         successfully.",
    );
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test(start_paused = true)]
async fn openai_tells_of_the_day_where_that_binds() {
    let openai = Simulator::twin(Twin::OpenAi)
        .requests(500)
        .limit(Limit::requests(200).per_day())
        .tokens(150_000)
        .build();

    let response = openai.handle(chat(1, 10)).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit-requests", Some("200")),
            ("x-ratelimit-remaining-requests", Some("199")),
            ("x-ratelimit-reset-requests", Some("7m12s")),
            ("x-ratelimit-remaining-tokens", Some("149990")),
            ("x-ratelimit-reset-tokens", Some("4ms")),
        ],
    );
}

// --- Azure ----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn azure_counts_by_the_minute_of_the_clock() {
    let azure = Simulator::twin(Twin::Azure)
        .requests(600)
        .tokens(1_000)
        .output_tokens(always(5))
        .build();
    advance(secs(45)).await;

    let path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21";
    let mut body = chat_body(100, 300);
    body.as_object_mut().unwrap().remove("model");
    let response = azure.handle(post(path, body.to_string())).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit-requests", Some("600")),
            ("x-ratelimit-remaining-requests", Some("599")),
            ("x-ratelimit-reset-requests", Some("15")),
            ("x-ratelimit-limit-tokens", Some("1000")),
            ("x-ratelimit-remaining-tokens", Some("600")),
            ("x-ratelimit-reset-tokens", Some("15")),
            ("retry-after-ms", None),
        ],
    );
    assert_eq!(value(response).await["model"], "my-gpt");

    let refused = azure.handle(chat(101, 500)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(
        &refused,
        &[
            ("retry-after", Some("15")),
            ("retry-after-ms", Some("15000")),
        ],
    );
    assert_eq!(
        value(refused).await,
        json!({
            "error": {
                "code": "429",
                "message": "Requests to gpt-test have been limited. Rate limit is exceeded. \
                            Try again in 15 seconds.",
            },
        })
    );

    advance(millis(14_999)).await;
    assert_eq!(azure.handle(chat(101, 500)).await.status(), 429);
    advance(millis(1)).await;
    assert_eq!(azure.handle(chat(101, 899)).await.status(), 200);
    // 400 and 1,000 within 15 s: the sliding window shows what the counter lets through.
    assert_eq!(azure.report().tokens.worst_window, 1_400);
}

#[tokio::test(start_paused = true)]
async fn azure_limits_requests_every_ten_seconds_too() {
    let azure = Simulator::twin(Twin::Azure).requests(600).build();
    advance(millis(4_000)).await;
    assert_eq!(admitted(&statuses(&azure, 100).await), 100);

    let refused = azure.handle(chat(1, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(
        &refused,
        &[
            ("x-ratelimit-remaining-requests", Some("499")),
            ("retry-after-ms", Some("6000")),
        ],
    );
    advance(millis(6_000)).await;
    assert_eq!(admitted(&statuses(&azure, 101).await), 100);

    let meters = azure.report().meters;
    let limits: Vec<_> = meters.iter().map(|m| (m.limit, m.window)).collect();
    assert_eq!(
        limits,
        [
            (Some(600), secs(60)),
            (Some(100), secs(10)),
            (None, secs(60))
        ]
    );
}

// --- Anthropic ------------------------------------------------------------------------------

fn anthropic(output_tokens: u64) -> Simulator {
    Simulator::twin(Twin::Anthropic)
        .requests(50)
        .limit(Limit::input_tokens(30_000).per_minute())
        .limit(Limit::output_tokens(8_000).per_minute())
        .output_tokens(always(output_tokens))
        .stream_latency(always(millis(100)))
        .build()
}

fn messages_body(input_tokens: usize, max_tokens: u64) -> Value {
    let mut body = chat_body(input_tokens, max_tokens);
    body["model"] = "claude-test".into();
    body
}

fn messages(input_tokens: usize, max_tokens: u64) -> Request<Full<bytes::Bytes>> {
    post(
        MESSAGES,
        messages_body(input_tokens, max_tokens).to_string(),
    )
}

#[tokio::test(start_paused = true)]
async fn anthropic_tells_times_and_thousands() {
    let anthropic = anthropic(700);

    let response = anthropic.handle(messages(1_400, 64_000)).await;
    assert_headers(
        &response,
        &[
            ("anthropic-ratelimit-requests-limit", Some("50")),
            ("anthropic-ratelimit-requests-remaining", Some("49")),
            // Full again after 1.2 s, and after 2.8 s.
            (
                "anthropic-ratelimit-requests-reset",
                Some("2027-01-15T08:00:02Z"),
            ),
            ("anthropic-ratelimit-input-tokens-limit", Some("30000")),
            // 28,600, rounded to the nearest thousand.
            ("anthropic-ratelimit-input-tokens-remaining", Some("29000")),
            (
                "anthropic-ratelimit-input-tokens-reset",
                Some("2027-01-15T08:00:03Z"),
            ),
            ("anthropic-ratelimit-output-tokens-limit", Some("8000")),
            ("anthropic-ratelimit-output-tokens-remaining", Some("8000")),
            (
                "anthropic-ratelimit-output-tokens-reset",
                Some("2027-01-15T08:00:00Z"),
            ),
            ("anthropic-ratelimit-tokens-limit", Some("38000")),
            ("anthropic-ratelimit-tokens-remaining", Some("37000")),
            (
                "anthropic-ratelimit-tokens-reset",
                Some("2027-01-15T08:00:03Z"),
            ),
            ("request-id", Some("req_0")),
            ("x-request-id", None),
            ("retry-after", None),
        ],
    );
    text(response).await;
    // What was generated has been counted when the answer was complete.
    let response = anthropic.handle(messages(1, 1)).await;
    let remaining = "anthropic-ratelimit-output-tokens-remaining";
    assert_headers(&response, &[(remaining, Some("7000"))]);

    let refused = anthropic.handle(messages(28_600, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // One token is missing, which takes 2 ms.
    assert_headers(
        &refused,
        &[("retry-after", Some("1")), ("retry-after-ms", None)],
    );
    assert_eq!(
        value(refused).await,
        json!({
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message": "This request would exceed your organization's rate limit of 30000 \
                            input tokens per minute.",
            },
            "request_id": "req_2",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn anthropic_counts_output_as_it_is_generated() {
    let anthropic = Simulator::twin(Twin::Anthropic)
        .limit(Limit::output_tokens(10).per_minute())
        .output_tokens(always(20))
        .stream_latency(always(millis(100)))
        .build();
    let counted = || {
        let meters = anthropic.report().meters;
        meters.last().expect("a limit on output").counted
    };

    // The cap does not matter, only what is generated.
    let stream = anthropic
        .handle(post(MESSAGES, streamed(messages_body(1, 64_000))))
        .await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(counted(), 0);
    sleep(millis(950)).await;
    assert_eq!(counted(), 9);
    // 9 tokens less 0.14 that came back: there is room for one.
    let response = anthropic.handle(messages(1, 1)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(counted(), 10);
    assert_eq!(anthropic.handle(messages(1, 1)).await.status(), 429);

    // It goes on beyond the limit, whether somebody reads it or not.
    drop(stream);
    sleep(millis(2_000)).await;
    let report = anthropic.report();
    let output = report.meters.last().unwrap();
    assert_eq!((output.counted, output.worst_window), (21, 21));
    assert_eq!(report.output_tokens, 21);
}

// --- Gemini ---------------------------------------------------------------------------------

/// Noon in Los Angeles on 16 August 2026.
fn noon_pacific() -> SystemTime {
    SystemTime::UNIX_EPOCH + secs(1_786_906_800)
}

#[tokio::test(start_paused = true)]
async fn gemini_has_no_headers_and_says_all_in_the_body() {
    let gemini = Simulator::twin(Twin::Gemini)
        .requests(2)
        .limit(Limit::input_tokens(1_000).per_minute())
        .limit(Limit::requests(20).per_day())
        .build();
    // The answer is not counted, and neither is its cap.
    assert_eq!(gemini.handle(chat(450, 60_000)).await.status(), 200);
    advance(millis(1_250)).await;
    let response = gemini.handle(chat(500, 60_000)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(limit_headers(&response), [""; 0]);

    let refused = gemini.handle(chat(51, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limit_headers(&refused), [""; 0]);
    assert_eq!(
        value(refused).await,
        json!({
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota, please check your plan and billing \
                    details.\n\
                    * Quota exceeded for metric: generativelanguage.googleapis.com/\
                    generate_content_free_tier_requests, limit: 2, model: gpt-test\n\
                    * Quota exceeded for metric: generativelanguage.googleapis.com/\
                    generate_content_free_tier_input_token_count, limit: 1000, model: gpt-test\n\
                    Please retry in 58.75s.",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                        "violations": [
                            {
                                "quotaMetric": "generativelanguage.googleapis.com/\
                                                generate_content_free_tier_requests",
                                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                                "quotaDimensions": {"location": "global", "model": "gpt-test"},
                                "quotaValue": "2",
                            },
                            {
                                "quotaMetric": "generativelanguage.googleapis.com/\
                                                generate_content_free_tier_input_token_count",
                                "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier",
                                "quotaDimensions": {"location": "global", "model": "gpt-test"},
                                "quotaValue": "1000",
                            },
                        ],
                    },
                    {
                        "@type": "type.googleapis.com/google.rpc.RetryInfo",
                        "retryDelay": "58.75s",
                    },
                ],
            },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn gemini_counts_days_from_midnight_pacific() {
    let gemini = Simulator::twin(Twin::Gemini)
        .limit(Limit::requests(20).per_day())
        .starts_at(noon_pacific())
        .build();
    assert_eq!(admitted(&statuses(&gemini, 20).await), 20);

    let refused = value(gemini.handle(chat(1, 1)).await).await;
    let [quota, retry] = refused["error"]["details"].as_array().unwrap().as_slice() else {
        panic!("not two details: {refused}");
    };
    assert_eq!(
        quota["violations"][0]["quotaId"],
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    );
    assert_eq!(retry["retryDelay"], "43200s");

    advance(secs(12 * 3_600) - millis(1)).await;
    assert_eq!(statuses(&gemini, 1).await, [429]);
    advance(millis(1)).await;
    assert_eq!(admitted(&statuses(&gemini, 21).await), 20);
}

fn contents() -> String {
    json!({
        "systemInstruction": {"parts": [{"text": "12345678"}]},
        "contents": [{"role": "user", "parts": [{"text": "1234"}, {"inlineData": {"data": "AA"}}]}],
        "generationConfig": {"maxOutputTokens": 20},
    })
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn gemini_answers_natively() {
    let gemini = Simulator::twin(Twin::Gemini)
        .output_tokens(always(3))
        .build();
    let path = "/v1beta/models/gemini-test:generateContent";

    assert_eq!(
        value(gemini.handle(post(path, contents())).await).await,
        json!({
            "candidates": [{
                "content": {"role": "model", "parts": [{"text": "the cat saw "}]},
                "finishReason": "STOP",
                "index": 0,
            }],
            "usageMetadata": {
                "promptTokenCount": 3,
                "candidatesTokenCount": 3,
                "totalTokenCount": 6,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
            },
            "modelVersion": "gemini-test",
            "responseId": "r0",
        })
    );
    let mistake = gemini.handle(post(path, "{}")).await;
    assert_eq!(mistake.status(), StatusCode::BAD_REQUEST);
    assert_eq!(value(mistake).await["error"]["status"], "INVALID_ARGUMENT");

    let compatible = "/v1beta/openai/chat/completions";
    let answer = gemini
        .handle(post(compatible, chat_body(5, 9).to_string()))
        .await;
    assert_eq!(value(answer).await["usage"]["total_tokens"], 8);
}

#[tokio::test(start_paused = true)]
async fn gemini_streams_natively() {
    let gemini = Simulator::twin(Twin::Gemini)
        .output_tokens(always(30))
        .build();
    let path = "/v1beta/models/gemini-test:streamGenerateContent?alt=sse";

    let response = gemini.handle(post(path, contents())).await;
    let events = events(&text(response).await);
    let [tokens @ .., (None, last)] = &events[..] else {
        panic!("no events");
    };
    assert_eq!(tokens.len(), 20, "cut by its cap");
    for (number, (name, event)) in (1..).zip(tokens) {
        assert_eq!(*name, None);
        assert_eq!(event["usageMetadata"]["candidatesTokenCount"], number);
        assert_eq!(event["candidates"][0].get("finishReason"), None);
    }
    assert_eq!(last["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!(last["usageMetadata"]["totalTokenCount"], 23);
}

// --- Groq -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn groq_tells_requests_per_day_and_tokens_per_minute() {
    let groq = Simulator::twin(Twin::Groq)
        .requests(30)
        .limit(Limit::requests(1_000).per_day())
        .limit(Limit::tokens(100_000).per_day())
        .limit(Limit::tokens(8_000).per_minute())
        .build();
    let send = |input, cap| {
        let body = chat_body(input, cap).to_string();
        groq.handle(post("/openai/v1/chat/completions", body))
    };

    let response = send(91, 2_500).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit-requests", Some("1000")),
            ("x-ratelimit-remaining-requests", Some("999")),
            ("x-ratelimit-reset-requests", Some("1m26.4s")),
            ("x-ratelimit-limit-tokens", Some("8000")),
            ("x-ratelimit-remaining-tokens", Some("5409")),
            // 2,591 of 8,000 a minute.
            ("x-ratelimit-reset-tokens", Some("19.433s")),
            ("retry-after", None),
        ],
    );

    let refused = send(5_000, 863).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(
        &refused,
        &[("retry-after", Some("4")), ("retry-after-ms", None)],
    );
    assert_eq!(
        value(refused).await,
        json!({
            "error": {
                "message": "Rate limit reached for model `gpt-test` in organization \
                            `org_simulator` service tier `on_demand` on tokens per minute (TPM): \
                            Limit 8000, Used 2591, Requested 5863. Please try again in 3.405s.",
                "type": "tokens",
                "param": null,
                "code": "rate_limit_exceeded",
            },
        })
    );

    let too_large = send(10_088, 1_000).await;
    assert_eq!(too_large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_headers(&too_large, &[("retry-after", Some("20"))]);
    let error = &value(too_large).await["error"];
    assert_eq!(error["type"], "tokens");
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert_eq!(
        error["message"],
        "Request too large for model `gpt-test` in organization `org_simulator` service tier \
         `on_demand` on tokens per minute (TPM): Limit 8000, Requested 11088, please reduce your \
         message size and try again.",
    );
    let report = groq.report();
    assert_eq!((report.throttled, report.failed), (2, 0));
}

// --- Mistral --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn mistral_counts_what_was_used_and_tells_no_time() {
    let mistral = Simulator::twin(Twin::Mistral)
        .requests(4)
        .tokens(1_000)
        .output_tokens(always(23))
        .answer_latency(always(millis(500)))
        .build();

    let response = mistral.handle(chat(100, 2_000)).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit-req-minute", Some("4")),
            ("x-ratelimit-remaining-req-minute", Some("3")),
            ("x-ratelimit-limit-tokens-minute", Some("1000")),
            ("x-ratelimit-remaining-tokens-minute", Some("1000")),
            ("x-ratelimit-tokens-query-cost", Some("123")),
        ],
    );
    assert_eq!(limit_headers(&response).len(), 5);
    let response = mistral.handle(chat(500, 2_000)).await;
    let remaining = "x-ratelimit-remaining-tokens-minute";
    assert_headers(&response, &[(remaining, Some("877"))]);

    let refused = mistral.handle(chat(355, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_headers(
        &refused,
        &[
            ("x-ratelimit-remaining-req-minute", Some("2")),
            (remaining, Some("354")),
            ("x-ratelimit-tokens-query-cost", None),
        ],
    );
    assert_eq!(limit_headers(&refused).len(), 4, "and no retry-after");
    assert_eq!(
        value(refused).await,
        json!({
            "object": "error",
            "message": "Rate limit exceeded",
            "type": "rate_limited",
            "param": null,
            "code": "1300",
            "raw_status_code": 429,
        })
    );
    // The first is gone a minute after it was complete.
    advance(millis(59_500)).await;
    assert_eq!(mistral.handle(chat(355, 1)).await.status(), 200);
}

// --- xAI, Together --------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn xai_enforces_requests_every_second_and_tells_nothing() {
    let xai = Simulator::twin(Twin::XAi).requests(600).build();
    advance(millis(2_300)).await;
    assert_eq!(admitted(&statuses(&xai, 12).await), 10);
    let refused = xai.handle(chat(1, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limit_headers(&refused), [""; 0]);
    assert!(value(refused).await["error"].is_string());

    advance(millis(699)).await;
    assert_eq!(statuses(&xai, 1).await, [429]);
    // No credit for seconds that were not used.
    advance(millis(5_001)).await;
    assert_eq!(admitted(&statuses(&xai, 12).await), 10);
    assert_eq!(xai.report().requests.limit, Some(10));
}

#[tokio::test(start_paused = true)]
async fn together_tells_of_seconds() {
    let together = Simulator::twin(Twin::Together)
        .requests(120)
        .tokens(6_000)
        .output_tokens(always(5))
        .build();
    advance(millis(300)).await;

    let response = together.handle(chat(15, 1_000)).await;
    assert_headers(
        &response,
        &[
            ("x-ratelimit-limit", Some("2")),
            ("x-ratelimit-limit-dynamic", Some("2")),
            ("x-ratelimit-remaining", Some("1")),
            ("x-ratelimit-remaining-dynamic", Some("1")),
            ("x-ratelimit-reset", Some("1")),
            ("x-ratelimit-reset-dynamic", Some("1")),
            ("x-tokenlimit-limit", Some("100")),
            ("x-tokenlimit-limit-dynamic", Some("100")),
            ("x-tokenlimit-remaining", Some("80")),
            ("x-tokenlimit-remaining-dynamic", Some("80")),
        ],
    );
    assert_eq!(limit_headers(&response).len(), 10);
    let refused = value(together.handle(chat(81, 1)).await).await;
    assert_eq!(refused["error_type"], "dynamic_token_limited");
    assert_eq!(statuses(&together, 2).await, [200, 429]);
    let refused = value(together.handle(chat(1, 1)).await).await;
    assert_eq!(refused["error_type"], "dynamic_request_limited");
    advance(millis(700)).await;
    assert_eq!(statuses(&together, 3).await, [200, 200, 429]);
}

// --- DeepSeek -------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn deepseek_limits_what_is_in_flight() {
    let deepseek = Simulator::twin(Twin::DeepSeek)
        .limit(Limit::concurrent(2))
        .output_tokens(always(10))
        .answer_latency(always(millis(200)))
        .stream_latency(always(millis(100)))
        .build();
    let path = "/chat/completions";
    let request = || post(path, streamed(chat_body(1, 100)));
    // The head is there after 0.2 s, and the answer complete after 1.2 s, read or not.
    let first = deepseek.handle(request()).await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = {
        let deepseek = deepseek.clone();
        tokio::spawn(async move { deepseek.handle(request()).await })
    };
    sleep(millis(100)).await;

    let refused = deepseek.handle(request()).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limit_headers(&refused), [""; 0]);
    let error = &value(refused).await["error"];
    assert_eq!(error["code"], "rate_limit_exceeded");

    sleep(millis(899)).await;
    assert_eq!(statuses(&deepseek, 1).await, [429]);
    sleep(millis(1)).await;
    let third: Response<SimulatorBody> = deepseek.handle(request()).await;
    assert_eq!(third.status(), StatusCode::OK);
    drop((first, second.await.unwrap(), third));
    sleep(secs(10)).await;
    let report = deepseek.report();
    let in_flight = report.meters.last().unwrap();
    assert_eq!((in_flight.counted, in_flight.worst_window), (3, 2));
}

// --- What waiting cannot fix ----------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_exhausted_account_is_told_so_by_each() {
    for twin in TWINS {
        let provider = Simulator::twin(twin).requests(600).build();
        assert_eq!(statuses(&provider, 1).await, [200], "{twin:?}");
        provider.set_account(Account::Exhausted);

        let refused = provider.handle(chat(1, 1)).await;
        let status = refused.status().as_u16();
        assert_headers(&refused, &[("retry-after", None), ("retry-after-ms", None)]);
        let body = value(refused).await;
        let (expected, told, value) = match twin {
            Twin::OpenAi | Twin::Azure | Twin::Groq => {
                (429, &body["error"]["code"], json!("insufficient_quota"))
            }
            Twin::Anthropic => (
                429,
                &body["error"]["details"]["error_code"],
                json!("enforced_spend_limit_reached"),
            ),
            Twin::Gemini => (429, &body["error"]["details"], Value::Null),
            Twin::Mistral => (429, &body["code"], json!("1300")),
            Twin::XAi => (
                403,
                &body["error"],
                json!("Your team has used all available credits."),
            ),
            Twin::Together => (402, &body["error_type"], json!("credit_limit")),
            Twin::DeepSeek => (
                402,
                &body["error"]["message"],
                json!("Insufficient Balance"),
            ),
            other => panic!("no row for {other:?}"),
        };
        assert_eq!((status, told), (expected, &value), "{twin:?}: {body}");

        provider.set_account(Account::Active);
        assert_eq!(statuses(&provider, 1).await, [200], "{twin:?}");
        let report = provider.report();
        assert_eq!((report.answered, report.throttled), (2, 1), "{twin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_on_the_plan_has_limits_of_zero() {
    let on_no_plan = |twin| {
        Simulator::twin(twin)
            .requests(600)
            .tokens(1_000)
            .account(Account::NotOnPlan)
            .build()
    };
    let mistral = on_no_plan(Twin::Mistral).handle(chat(1, 1)).await;
    assert_headers(
        &mistral,
        &[
            ("x-ratelimit-limit-req-minute", Some("0")),
            ("x-ratelimit-remaining-req-minute", Some("0")),
            ("x-ratelimit-limit-tokens-minute", Some("0")),
            ("x-ratelimit-remaining-tokens-minute", Some("0")),
        ],
    );

    let gemini = value(on_no_plan(Twin::Gemini).handle(chat(1, 1)).await).await;
    let message = gemini["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("_requests, limit: 0, model: gpt-test"),
        "{message}"
    );
    assert!(!message.contains("retry"), "{message}");
    let details = gemini["error"]["details"].as_array().unwrap();
    assert_eq!(details.len(), 1);
    assert_eq!(details[0]["violations"][0]["quotaValue"], "0");

    for twin in TWINS {
        let refused = on_no_plan(twin).handle(chat(1, 1)).await;
        assert!(!refused.status().is_success(), "{twin:?}");
    }
}

// --- Time -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_date_of_the_provider() {
    let provider = Simulator::twin(Twin::OpenAi)
        .requests(1)
        .starts_at(noon_pacific())
        .answer_latency(always(millis(1_500)))
        .build();
    let date = |response: &Response<SimulatorBody>| header(response, "date").map(str::to_owned);

    let answer = provider.handle(chat(1, 1)).await;
    assert_eq!(
        date(&answer).as_deref(),
        Some("Sun, 16 Aug 2026 19:00:01 GMT")
    );
    let created = value(answer).await["created"].as_u64().unwrap();
    assert_eq!(created, 1_786_906_800);
    let stream = post(CHAT, streamed(chat_body(1, 1)));
    let refused = provider.handle(stream).await;
    assert_eq!(
        date(&refused).as_deref(),
        Some("Sun, 16 Aug 2026 19:00:01 GMT")
    );
    advance(Duration::from_secs(86_400)).await;
    let unknown = provider.handle(post("/v2", "")).await;
    assert_eq!(
        date(&unknown).as_deref(),
        Some("Mon, 17 Aug 2026 19:00:01 GMT")
    );
    let body = unknown.into_body().collect().await.unwrap();
    assert!(!body.to_bytes().is_empty());
}
