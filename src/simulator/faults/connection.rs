use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tower_service::Service;

use super::body::FaultyBody;
use super::kind::FaultKind;
use super::network::{FaultyFuture, FaultyNetwork};
use crate::error::BoxError;

impl<S> FaultyNetwork<S> {
    /// Serves HTTP/1.1 on a byte stream, such as one end of `tokio::io::duplex` or a `TcpStream`,
    /// until it closes.
    ///
    /// What is an error in process closes the connection here: before the head of an answer, so
    /// that the client gets none; within its body, so that it gets a part.
    ///
    /// # Errors
    ///
    /// When the connection fails, by a fault too, or what comes over it is not HTTP. A client that
    /// closes between requests is no error, nor is [`FaultKind::CloseAfterAnswer`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts the connection, and with it the requests that are under way on it.
    ///
    /// # Panics
    ///
    /// If a delay happens: outside of a tokio runtime, or in one without a timer.
    pub async fn serve_http1<I, R>(&self, io: I) -> io::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin,
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (closing, mut closes) = mpsc::unbounded_channel();
        let service = Connected {
            network: self.clone(),
            closing: Closing(closing),
        };
        let mut connection = pin!(
            http1::Builder::new()
                .serve_connection(TokioIo::new(io), TowerToHyperService::new(service))
        );
        let delay = tokio::select! {
            // The connection first: what was answered has to be on its way before it closes.
            biased;
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            Some(delay) = closes.recv() => delay,
        };
        tokio::select! {
            ended = connection => ended.map_err(io::Error::other),
            () = tokio::time::sleep(delay) => {
                self.shared().count(FaultKind::CloseAfterAnswer);
                Ok(())
            }
        }
    }

    /// Serves HTTP/2 on a byte stream, without negotiation, until it closes. No more than
    /// `max_concurrent_streams` requests are under way on it at a time: a client has to hold back
    /// the others.
    ///
    /// What is an error in process resets a stream here.
    ///
    /// # Errors, cancel safety and panics
    ///
    /// As [`serve_http1`](Self::serve_http1). Requests are tasks of their own: those that are under
    /// way end soon after the connection is cut.
    pub async fn serve_http2<I, R>(&self, io: I, max_concurrent_streams: u32) -> io::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(max_concurrent_streams)
            .serve_connection(TokioIo::new(io), TowerToHyperService::new(self.clone()))
            .await
            .map_err(io::Error::other)
    }
}

/// The network as seen from one connection.
#[derive(Clone)]
struct Connected<S> {
    network: FaultyNetwork<S>,
    closing: Closing,
}

impl<S, R> Service<Request<Incoming>> for Connected<S>
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<FaultyBody<R>>;
    type Error = io::Error;
    type Future = FaultyFuture<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> FaultyFuture<R> {
        self.network.send(request, Some(self.closing.clone()))
    }
}

/// Closes a connection.
#[derive(Clone)]
pub(super) struct Closing(mpsc::UnboundedSender<Duration>);

impl Closing {
    pub(super) fn after(self, delay: Duration) -> CloseWhenDropped {
        CloseWhenDropped {
            delay,
            closing: self,
        }
    }
}

/// Closes a connection some time after the body that owns it is sent.
pub(super) struct CloseWhenDropped {
    delay: Duration,
    closing: Closing,
}

impl Drop for CloseWhenDropped {
    fn drop(&mut self) {
        // A connection that is gone is closed.
        let _ = self.closing.0.send(self.delay);
    }
}
