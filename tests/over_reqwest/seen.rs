//! What a caller sees of the answers of an odd server.

use http::{HeaderMap, StatusCode, Version};
use http_body_util::BodyExt;
use proactive_rate_limit::BoxError;
use reqwest::{Request, RequestBuilder, Response};

use super::{Client, millis, odd_server, send};

#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there are a few, in a test")]
pub(crate) enum Seen {
    Answer {
        status: StatusCode,
        version: Version,
        headers: HeaderMap,
        url: String,
        is_from: bool,
        content_length: Option<u64>,
        body: String,
        trailers: Option<HeaderMap>,
    },
    /// The head was good.
    Broken(Error),
    Failed(Error),
}

/// As reqwest tells it.
#[derive(Debug, PartialEq)]
pub(crate) struct Error {
    text: String,
    kinds: [bool; 7],
    url: Option<String>,
}

impl Error {
    fn of(error: &reqwest::Error) -> Self {
        Self {
            text: error.to_string(),
            kinds: [
                error.is_builder(),
                error.is_request(),
                error.is_connect(),
                error.is_timeout(),
                error.is_redirect(),
                error.is_body(),
                error.is_decode(),
            ],
            url: error.url().map(ToString::to_string),
        }
    }
}

impl Seen {
    async fn read(response: Response) -> Self {
        let status = response.status();
        let version = response.version();
        let headers = response.headers().clone();
        let url = response.url().to_string();
        let is_from = response.remote_addr().is_some();
        let content_length = response.content_length();
        let body = http::Response::<reqwest::Body>::from(response).into_body();
        match body.collect().await {
            Ok(body) => Self::Answer {
                status,
                version,
                headers,
                url,
                is_from,
                content_length,
                trailers: body.trailers().cloned(),
                body: String::from_utf8(body.to_bytes().to_vec()).unwrap(),
            },
            Err(error) => Self::Broken(Error::of(&error)),
        }
    }
}

fn requests(url: &str, nobody: &str) -> Vec<Request> {
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("{url}{path}"));
    let post = |path: &str| client.post(format!("{url}{path}"));
    let stream = || {
        let parts = ["one ", "two"].map(Ok::<_, std::io::Error>);
        reqwest::Body::wrap_stream(futures_util::stream::iter(parts))
    };
    let requests = [
        get("/echo?a=%20b&c={d}#fragment"),
        get("/other#fragment"),
        post("/echo").header("x-b", "1").header("x-b", "2"),
        post("/echo").json(&serde_json::json!({ "max_tokens": 7 })),
        post("/echo").version(Version::HTTP_10).body("old"),
        post("/echo").body(""),
        post("/echo").body(stream()),
        post("/moved").body("moved"),
        post("/loop"),
        get("/trailers").header("te", "trailers"),
        get("/cut"),
        get("/silent#fragment").timeout(millis(50)),
        get("/empty"),
        get("/failed"),
        get("/wrong"),
        client.head(format!("{url}/other")),
        client.get(nobody),
        client.get(format!("{nobody}/with/path")),
        client.get("ftp://127.0.0.1/file"),
    ];
    requests
        .map(RequestBuilder::build)
        .map(Result::unwrap)
        .into()
}

/// Sends requests of every kind, good and bad. `unbox` finds reqwest's error in a client's own.
pub(crate) async fn all(
    client: &impl Client,
    (url, nobody): (&str, &str),
    unbox: impl Fn(&BoxError) -> Option<&reqwest::Error>,
) -> Vec<Seen> {
    let mut all = Vec::new();
    for request in requests(url, nobody) {
        all.push(match send(client, request).await {
            Ok(response) => Seen::read(response).await,
            Err(error) => Seen::Failed(Error::of(
                unbox(&error).unwrap_or_else(|| panic!("not reqwest's: {error:?}")),
            )),
        });
    }
    all
}

/// A client with a layer that has nothing to limit shows what it shows without.
pub(crate) async fn assert_the_same<A: Client, B: Client>(
    without: &A,
    with: &B,
    unbox: impl Fn(&BoxError) -> Option<&reqwest::Error>,
) {
    let url = odd_server::serve().await;
    let (_socket, nobody) = odd_server::nobody();
    let without = all(without, (&url, &nobody), &unbox).await;
    let with = all(with, (&url, &nobody), &unbox).await;
    let failed = without
        .iter()
        .filter(|seen| matches!(seen, Seen::Failed(_)));
    assert_eq!(failed.count(), 5, "{without:#?}");
    let broken = without
        .iter()
        .filter(|seen| matches!(seen, Seen::Broken(_)));
    assert_eq!(broken.count(), 1, "{without:#?}");
    let trailers = |seen: &&Seen| {
        matches!(
            seen,
            Seen::Answer {
                trailers: Some(_),
                ..
            }
        )
    };
    assert_eq!(without.iter().filter(trailers).count(), 1, "{without:#?}");
    assert_eq!(without.len(), with.len());
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without, with);
    }
}
