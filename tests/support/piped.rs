//! hyper's client over in-memory pipes, so that a whole HTTP stack runs on a paused clock.

use std::future::{Future, Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use proactive_rate_limit::simulator::Simulator;
use proactive_rate_limit::simulator::faults::FaultyNetwork;
use tokio::io::DuplexStream;
use tower::Service;

use super::Body;

pub(crate) type PipedClient = Client<Pipes, Body>;

/// Connects to whatever serves the other ends.
#[derive(Clone)]
pub(crate) struct Pipes {
    serve: Arc<dyn Fn(DuplexStream) + Send + Sync>,
}

impl Pipes {
    fn new<F>(serve: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let serve = move |server| drop(tokio::spawn(serve(server)));
        Self {
            serve: Arc::new(serve),
        }
    }

    /// To a network with faults, which speaks HTTP/1.1.
    pub(crate) fn http1(network: &FaultyNetwork<Simulator>) -> Self {
        let network = network.clone();
        Self::new(move |io| {
            let network = network.clone();
            async move { network.serve_http1(io).await }
        })
    }
}

impl Service<Uri> for Pipes {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (client, server) = tokio::io::duplex(64 * 1024);
        (self.serve)(server);
        ready(Ok(Pipe(TokioIo::new(client))))
    }
}

/// One end of an in-memory connection, as hyper's client wants it.
pub(crate) struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// hyper's client to the simulator, over HTTP/1.1.
pub(crate) fn piped(simulator: &Simulator) -> PipedClient {
    let simulator = simulator.clone();
    let pipes = Pipes::new(move |io| {
        let simulator = simulator.clone();
        async move { simulator.serve_connection(io).await }
    });
    client().build(pipes)
}

/// hyper's client over HTTP/1.1 on a network with faults.
pub(crate) fn piped_http1(network: &FaultyNetwork<Simulator>) -> PipedClient {
    client().build(Pipes::http1(network))
}

/// hyper's client over HTTP/2, with so many streams per connection as the server allows.
pub(crate) fn piped_http2(network: &FaultyNetwork<Simulator>, streams: u32) -> PipedClient {
    let network = network.clone();
    let pipes = Pipes::new(move |io| {
        let network = network.clone();
        async move { network.serve_http2(io, streams).await }
    });
    client().http2_only(true).build(pipes)
}

pub(crate) fn client() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new());
    builder
}

pub(crate) fn chat(
    url: &str,
    prompt_tokens: usize,
    max_tokens: u64,
    stream: bool,
) -> Request<Body> {
    let prompt = vec!["tok"; prompt_tokens].join(" ");
    let mut body = serde_json::json!({
        "model": "test-model",
        "max_tokens": max_tokens,
        "messages": [{ "role": "user", "content": prompt }],
    });
    if stream {
        body["stream"] = true.into();
        body["stream_options"] = serde_json::json!({ "include_usage": true });
    }
    Request::post(format!("{url}/v1/chat/completions"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a valid request")
}
