//! What the log says: once, what somebody should mend, and nothing of any request.

mod support;

use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use support::{Body, exactly, layer};
use tower::{Layer, ServiceExt, service_fn};
use tracing::instrument::WithSubscriber;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_should_be_mended_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .without_time()
        .finish();
    let layer = layer([exactly(1_000, std::time::Duration::from_secs(60))]);
    // The path tells what to answer.
    let service = layer.layer(service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::from(r#"{"secret answer":1}"#));
        if request.uri().path() == "/encoded" {
            let encoding = "aes128gcm".parse().unwrap();
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, encoding);
        }
        Ok::<_, Infallible>(response)
    }));
    let send = async |path: &str| {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, "Bearer sk-secret")
            .body(Full::from("secret prompt"))
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    };
    async {
        for path in ["/plain", "/plain", "/encoded", "/plain", "/encoded"] {
            send(path).await;
        }
    }
    .with_subscriber(subscriber)
    .await;

    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("reports no usage"), "{}", lines[0]);
    assert!(
        lines[1].contains("cannot be read") && lines[1].contains("Encoded"),
        "{}",
        lines[1]
    );
    for line in &lines {
        assert!(
            line.contains("WARN") && line.contains("openai-compatible/test-model@custom"),
            "{line}"
        );
        assert!(!line.contains("secret"), "{line}");
    }
    let stats = layer.stats().unwrap();
    assert_eq!((stats.usage_missing, stats.usage_unreadable), (3, 2));
}
