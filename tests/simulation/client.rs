//! Clients, each with manners of its own.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use proactive_rate_limit::{BoxError, RateLimitError};
use tokio::time::{Sleep, sleep, timeout};
use tower::retry::{Policy, Retry};
use tower::{Service, ServiceExt};

use crate::log::{Ending, Log, Tag, What};
use crate::scenario::{Client, Manner, Server};
use crate::support::Body;
use crate::wire::Reply;

/// How long anybody waits for the next frame of a body, as real clients do: some never come.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// What clients send through: the layer, or a retry around it.
pub(crate) trait Sender:
    Service<Request<Body>, Response = Reply, Error = BoxError, Future: Send> + Clone + Send + 'static
{
}

impl<S> Sender for S where
    S: Service<Request<Body>, Response = Reply, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Does all of a client's work, one request after the other.
pub(crate) async fn work<S: Sender>(
    id: usize,
    client: Client,
    server: Server,
    service: S,
    log: Log,
) {
    sleep(client.start).await;
    match client.manner {
        Manner::Retrying { times, pause } => {
            let retrying = Retry::new(Again { left: times, pause }, service);
            one_by_one(id, &client, server, retrying, &log).await;
        }
        _ => one_by_one(id, &client, server, service, &log).await,
    }
    log.write(What::Finished { client: id });
}

async fn one_by_one<S: Sender>(
    id: usize,
    client: &Client,
    server: Server,
    mut service: S,
    log: &Log,
) {
    for (request, work) in client.work.iter().enumerate() {
        let tag = Tag {
            client: id,
            request,
        };
        log.write(What::Asked(tag));
        let request = work.request(&server, tag);
        let ending = send(client.manner, &mut service, request).await;
        log.write(What::Ended(tag, ending));
        sleep(client.pause).await;
    }
}

async fn send<S: Sender>(manner: Manner, service: &mut S, request: Request<Body>) -> Ending {
    match manner {
        Manner::Patient | Manner::Retrying { .. } => {
            let called = call(service, request).await;
            read(called, usize::MAX).await
        }
        Manner::Impatient(patience) => {
            let whole = async { read(call(service, request).await, usize::MAX).await };
            timeout(patience, whole).await.unwrap_or(Ending::GaveUp)
        }
        Manner::Leaving(frames) => read(call(service, request).await, frames).await,
        Manner::Keeping(patience) => {
            let mut kept = service.clone();
            if timeout(patience, kept.ready()).await.is_ok() {
                return read(kept.call(request).await, usize::MAX).await;
            }
            sleep(patience).await;
            Ending::GaveUp
        }
        Manner::Unused(pause) => {
            let mut unused = service.clone();
            if unused.ready().await.is_ok() {
                sleep(pause).await;
            }
            Ending::Unused
        }
        Manner::Late(pause) => match service.ready().await {
            Ok(ready) => {
                let called = ready.call(request);
                sleep(pause).await;
                read(called.await, usize::MAX).await
            }
            Err(error) => read(Err(error), usize::MAX).await,
        },
        Manner::PolledOnce(pause) => match service.ready().await {
            Ok(ready) => {
                let mut called = pin!(ready.call(request));
                let once = called
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                sleep(pause).await;
                match once {
                    Poll::Ready(called) => read(called, usize::MAX).await,
                    Poll::Pending => read(called.await, usize::MAX).await,
                }
            }
            Err(error) => read(Err(error), usize::MAX).await,
        },
    }
}

async fn call<S: Sender>(service: &mut S, request: Request<Body>) -> Result<Reply, BoxError> {
    service.ready().await?.call(request).await
}

/// Reads an answer, up to so many frames.
async fn read(called: Result<Reply, BoxError>, frames: usize) -> Ending {
    let reply = match called {
        Ok(reply) => reply,
        Err(error) => {
            if let Some(error) = error.downcast_ref::<RateLimitError>() {
                return Ending::Refused(error.into());
            }
            let error = error.downcast_ref::<io::Error>();
            return Ending::Failed(error.expect("an error of the network").kind());
        }
    };
    let status = reply.status().as_u16();
    let mut body = reply.into_body();
    for _ in 0..frames {
        match timeout(READ_TIMEOUT, body.frame()).await {
            Ok(None) => return Ending::Answered(status),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_))) | Err(_) => return Ending::BrokenOff(status),
        }
    }
    Ending::GaveUp
}

/// Tries again what failed on the way, was refused, or met a failing provider.
#[derive(Clone, Copy, Debug)]
struct Again {
    left: u8,
    pause: Duration,
}

impl Policy<Request<Body>, Reply, BoxError> for Again {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Reply, BoxError>,
    ) -> Option<Sleep> {
        let failed = match result {
            Ok(reply) => reply.status().as_u16() == 429 || reply.status().is_server_error(),
            Err(error) => error.is::<io::Error>(),
        };
        self.left = self.left.checked_sub(1).filter(|_| failed)?;
        Some(sleep(self.pause))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

/// Counts how often a client is polled. Beyond `most` it is stopped: time stands still where tasks
/// wake each other without end, so that no timeout would ever come.
pub(crate) async fn counted(polls: Arc<AtomicU64>, most: u64, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if polls.fetch_add(1, Ordering::Relaxed) >= most {
            return Poll::Ready(());
        }
        work.as_mut().poll(cx)
    })
    .await;
}
