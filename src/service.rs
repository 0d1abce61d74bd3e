use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::deadline::Deadline;
use crate::error::{BoxError, RateLimitError};
use crate::future::ResponseFuture;
use crate::limiter::{Limiter, Price};
use crate::tracker::Place;

/// Admits requests to the inner service under the limits of a pool. Made by
/// [`ProactiveRateLimitLayer`](crate::ProactiveRateLimitLayer).
///
/// # Readiness
///
/// `poll_ready` waits in the pool's line until a request of the usual cost may be sent, then for
/// the inner service. The room is held from there on, for a grace (100 ms) if others wait; a service
/// that is called later than that, or not at all, delays nobody, and its request is admitted anew
/// inside its future. A request that turns out to cost more than was held waits there too.
///
/// `poll_ready` fails only when the inner service does. That a request may not wait any longer, or
/// is too large, is said by the future of its call.
///
/// # Cloning
///
/// A clone shares the pool and holds nothing of what the original has won.
///
/// # Panics
///
/// When a request has to wait outside a Tokio runtime with its timer enabled.
pub struct ProactiveRateLimit<S> {
    inner: S,
    limiter: Arc<Limiter>,
    gate: Gate,
}

/// How far the next request is.
#[derive(Debug)]
enum Gate {
    Closed,
    /// Waiting for the pool, and then for the inner service.
    Waiting(Place),
    /// Admitted, and the inner service was ready.
    Open(Place),
    Refused {
        error: RateLimitError,
        at: Instant,
    },
}

/// A refusal is the answer to a call that follows at once. One that comes later asks anew.
const REFUSAL_LASTS: Duration = Duration::from_millis(100);

impl Gate {
    fn refused(error: RateLimitError) -> Self {
        Self::Refused {
            error,
            at: Instant::now(),
        }
    }
}

impl<S> ProactiveRateLimit<S> {
    pub(crate) fn new(inner: S, limiter: Arc<Limiter>) -> Self {
        Self {
            inner,
            limiter,
            gate: Gate::Closed,
        }
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// The response to a request of this price, which has to be admitted within so long, in place of
    /// `call` and without being ready.
    pub(crate) fn start<B, R>(
        &self,
        request: Request<B>,
        price: Price,
        within: Option<Duration>,
    ) -> ResponseFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        R: Body,
    {
        let left = [Deadline::left(request.extensions()), within];
        let place = match left.into_iter().flatten().min() {
            Some(left) => self.limiter.place().and_then(|place| place.within(left)),
            None => self.limiter.place(),
        };
        match place {
            Ok(place) => {
                let limiter = Arc::clone(&self.limiter);
                ResponseFuture::admit(limiter, place, price, self.inner.clone(), false, request)
            }
            Err(error) => ResponseFuture::refuse(error),
        }
    }

    /// The same limits around another service. Nothing that was won comes along.
    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn around<T>(&self, inner: T) -> ProactiveRateLimit<T> {
        ProactiveRateLimit::new(inner, Arc::clone(&self.limiter))
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives up what it has won and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for ProactiveRateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        loop {
            self.gate = match mem::replace(&mut self.gate, Gate::Closed) {
                Gate::Closed => match self.limiter.place() {
                    Ok(place) => Gate::Waiting(place),
                    Err(error) => Gate::refused(error),
                },
                Gate::Waiting(mut place) => match place.poll_grant(cx, None) {
                    Poll::Ready(Ok(())) => match self.inner.poll_ready(cx) {
                        Poll::Ready(Ok(())) => Gate::Open(place),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                        Poll::Pending => {
                            self.gate = Gate::Waiting(place);
                            return Poll::Pending;
                        }
                    },
                    Poll::Ready(Err(error)) => Gate::refused(error),
                    Poll::Pending => {
                        self.gate = Gate::Waiting(place);
                        return Poll::Pending;
                    }
                },
                // A refused call will not reach the inner service, so that need not be ready.
                open => {
                    self.gate = open;
                    return Poll::Ready(Ok(()));
                }
            };
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (place, ready) = match mem::replace(&mut self.gate, Gate::Closed) {
            Gate::Open(place) => (Ok(place), true),
            Gate::Refused { error, at } if at.elapsed() <= REFUSAL_LASTS => (Err(error), false),
            // Called without being ready: it becomes so in its future.
            Gate::Waiting(place) => (Ok(place), false),
            Gate::Refused { .. } | Gate::Closed => (self.limiter.place(), false),
        };
        let place = match Deadline::left(request.extensions()) {
            Some(left) => place.and_then(|place| place.within(left)),
            None => place,
        };
        match place {
            Ok(place) => {
                // The one that was polled ready is the one to call; its clone was not.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                let price = self.limiter.price(&request);
                let limiter = Arc::clone(&self.limiter);
                ResponseFuture::admit(limiter, place, price, inner, ready, request)
            }
            Err(error) => ResponseFuture::refuse(error),
        }
    }
}

impl<S: Clone> Clone for ProactiveRateLimit<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            limiter: Arc::clone(&self.limiter),
            // What was won was won for one request: the clone waits in line for its own.
            gate: Gate::Closed,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ProactiveRateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProactiveRateLimit")
            .field("inner", &self.inner)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
