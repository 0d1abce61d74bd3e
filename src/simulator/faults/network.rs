use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::Asked;
use super::body::{BodyFault, FaultyBody, Strike};
use super::connection::Closing;
use super::draw::Draw;
use super::headers;
use super::kind::FaultKind;
use super::plan::Faults;
use super::report::{FaultReport, Tally};
use crate::error::BoxError;

/// What the network's clock shows when it is made, in Unix seconds, so that two runs with one seed
/// give the same bytes. Only answers without a `Date` are dated by it.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// A network between a client and a provider, on which things go wrong as a plan has it.
///
/// See the [module](super) for what it does. Cheap to clone if the service behind it is; all clones
/// are one network, with one count of requests and one report.
#[derive(Clone)]
pub struct FaultyNetwork<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What the clones of a network, and every exchange over it, share.
pub(super) struct Shared {
    faults: Faults,
    tally: Tally,
    start: Instant,
}

impl<S> FaultyNetwork<S> {
    /// A network in front of `inner` on which `faults` happen.
    ///
    /// Build it inside the runtime that it will be used on: a paused clock is known only there.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self {
            inner,
            shared: Arc::new(Shared {
                faults,
                tally: Tally::new(),
                start: Instant::now(),
            }),
        }
    }

    /// What happened up to now.
    pub fn report(&self) -> FaultReport {
        self.shared.tally.report()
    }

    /// The service behind it.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends a request through the inner service, which is ready.
    pub(super) fn send<B, R>(
        &mut self,
        request: Request<B>,
        closing: Option<Closing>,
    ) -> FaultyFuture<R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        // The one that was polled ready is the one to call; its clone was not.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let exchange = exchange(self.shared.clone(), inner, request, closing);
        FaultyFuture {
            exchange: Box::pin(exchange),
        }
    }
}

impl<S, B, R> Service<Request<B>> for FaultyNetwork<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<FaultyBody<R>>;
    type Error = io::Error;
    type Future = FaultyFuture<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, request: Request<B>) -> FaultyFuture<R> {
        self.send(request, None)
    }
}

/// The answer to a request over a [`FaultyNetwork`].
///
/// Nothing happens before the first poll.
///
/// # Errors
///
/// Faults before the head of an answer, of their own [kind](io::Error::kind); errors of the inner
/// service, of kind [`Other`](io::ErrorKind::Other).
///
/// # Cancel safety
///
/// Dropped while a [`FaultKind::ConnectDelay`] lasts, the request never reaches the provider.
///
/// # Panics
///
/// If a delay happens: outside of a tokio runtime, or in one without a timer.
#[must_use = "futures do nothing unless polled"]
pub struct FaultyFuture<R> {
    exchange: Pin<Box<dyn Future<Output = Outcome<R>> + Send>>,
}

/// What a client gets.
type Outcome<R> = io::Result<Response<FaultyBody<R>>>;

impl<R> Future for FaultyFuture<R> {
    type Output = Outcome<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.exchange.as_mut().poll(cx)
    }
}

async fn exchange<S, B, R>(
    shared: Arc<Shared>,
    mut inner: S,
    request: Request<B>,
    closing: Option<Closing>,
) -> Outcome<R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    let mut draw = shared.faults.draw(shared.tally.request());
    let asked = Asked::of(request.uri());

    if let Some(fault) = draw.connect {
        shared.count(fault);
        if fault == FaultKind::ConnectRefused {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        tokio::time::sleep(draw.connect_delay).await;
    }
    let response = inner.call(request).await.map_err(io::Error::other)?;
    if let Some(fault) = draw.head {
        shared.count(fault);
        if fault == FaultKind::AnswerLost {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        tokio::time::sleep(draw.head_delay).await;
    }

    let (mut head, body) = response.into_parts();
    let replacement = draw.answer.and_then(|fault| {
        let replacement = asked.replace(fault, &draw, &mut head)?;
        shared.count(fault);
        Some(replacement)
    });
    shared.spoil_headers(&mut draw, &mut head);
    let is_stream = replacement.is_none() && is_event_stream(&head);
    let fault = strike(&draw, &asked, is_stream)
        .map(|strike| BodyFault::new(strike, draw.body_position, shared));
    let close = closing
        .filter(|_| draw.closes)
        .map(|closing| closing.after(draw.close_delay));
    let body = match replacement {
        // The answer that it replaces is dropped: to its provider, a client that left.
        Some(bytes) => FaultyBody::replaced(bytes, fault, close),
        None => FaultyBody::passed(body, fault, close),
    };
    Ok(Response::from_parts(head, body))
}

impl Shared {
    pub(super) fn count(&self, fault: FaultKind) {
        self.tally.count(fault);
    }

    fn spoil_headers(&self, draw: &mut Draw, head: &mut Parts) {
        let spoilt = match draw.headers {
            Some(FaultKind::DuplicateHeaders) => {
                headers::duplicate(&mut head.headers, &mut draw.rng)
            }
            Some(_) => headers::malform(&mut head.headers, &mut draw.rng),
            None => false,
        };
        if let Some(fault) = draw.headers.filter(|_| spoilt) {
            self.count(fault);
        }
        let refuses = head.status == StatusCode::TOO_MANY_REQUESTS || head.status.is_server_error();
        if let Some(fault) = draw.retry_after_fault.filter(|_| refuses) {
            let now = SystemTime::UNIX_EPOCH + EPOCH + self.start.elapsed();
            let wait = draw.retry_after;
            headers::rewrite_wait(&mut head.headers, fault, wait, now, &mut draw.rng);
            self.count(fault);
        }
    }
}

fn strike(draw: &Draw, asked: &Asked, is_stream: bool) -> Option<Strike> {
    Some(match draw.body? {
        FaultKind::BodyStall => Strike::Stall(draw.stall),
        FaultKind::BodyHang => Strike::Hang,
        FaultKind::BodyCut => Strike::Cut,
        FaultKind::ErrorEvent if is_stream => Strike::ErrorEvent(asked.error_event()),
        _ => return None,
    })
}

fn is_event_stream(head: &Parts) -> bool {
    head.status.is_success()
        && head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream"))
}

impl<S: fmt::Debug> fmt::Debug for FaultyNetwork<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyNetwork")
            .field("inner", &self.inner)
            .field("faults", &self.shared.faults)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for FaultyFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFuture").finish_non_exhaustive()
    }
}
