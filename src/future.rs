use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::error::{BoxError, RateLimitError};
use crate::limiter::{Answer, Answered, Limiter, Price};
use crate::refused::Refused;
use crate::tracker::{Permit, Place, Sending};

pin_project! {
    /// The response of a [`ProactiveRateLimit`](crate::ProactiveRateLimit).
    ///
    /// The request is sent, and counts as sent, when this is first polled, or later if it has to
    /// wait for more room than its service held for it.
    ///
    /// A refusal is looked at before it is handed on, for 100 ms and 16 KiB of its body at most: only
    /// that tells whether waiting helps. What it was is then in the extensions of the response, as a
    /// [`Refusal`](crate::Refusal); the response is otherwise as it came.
    ///
    /// # Errors
    ///
    /// A [`RateLimitError`] if the request was not sent, or the inner service's own error.
    ///
    /// # Panics
    ///
    /// When a request, or the body of a refusal, has to be waited for in a Tokio runtime without a
    /// timer; a request outside of any runtime, too. When polled after completion.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the request was sent, it costs nothing. Dropped after, the request stays
    /// counted at its full reserve for as long as the provider may charge it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        #[pin]
        state: State<S, B, S::Future, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R>
    where
        R: Body,
    {
        Admission {
            // The wrappers keep the future `Sync` whatever the body and the inner service are:
            // boxed stacks ask for it.
            admission: SyncWrapper<Option<Admission<S, B>>>,
        },
        Sent {
            #[pin]
            response: SyncWrapper<F>,
            permit: Option<Permit>,
            answer: Answer,
            limiter: Arc<Limiter>,
        },
        /// The provider refused it.
        Refused {
            refused: Box<Refused<R>>,
        },
        /// Nothing limits it.
        Passed {
            #[pin]
            response: SyncWrapper<F>,
        },
        /// It may not be sent.
        Failed {
            error: Option<RateLimitError>,
        },
    }
}

/// A request on its way to the inner service.
struct Admission<S, B> {
    limiter: Arc<Limiter>,
    place: Place,
    price: Price,
    request: Request<B>,
    inner: S,
    inner_ready: bool,
    /// The inner service took so long to become ready that what was granted meanwhile was lost.
    inner_is_slow: bool,
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    /// Sends `request` through `inner`, which is ready, as soon as its price is admitted.
    pub(crate) fn admit(
        limiter: Arc<Limiter>,
        place: Place,
        price: Price,
        inner: S,
        inner_ready: bool,
        request: Request<B>,
    ) -> Self {
        Self {
            state: State::Admission {
                admission: SyncWrapper::new(Some(Admission {
                    limiter,
                    place,
                    price,
                    request,
                    inner,
                    inner_ready,
                    inner_is_slow: false,
                })),
            },
        }
    }

    /// The response to a request that was sent without a limit.
    pub(crate) fn pass(response: S::Future) -> Self {
        Self {
            state: State::Passed {
                response: SyncWrapper::new(response),
            },
        }
    }

    pub(crate) fn refuse(error: RateLimitError) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }
}

impl<S, B> Admission<S, B>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    /// Ready when the request counts as sent: it has to be, in the same poll.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, BoxError>> {
        loop {
            match self.place.poll_grant(cx, Some(&self.price.cost)) {
                Poll::Ready(granted) => granted?,
                Poll::Pending => {
                    self.unready_inner();
                    return Poll::Pending;
                }
            }
            let had_to_wait = !self.inner_ready;
            if had_to_wait {
                ready!(self.inner.poll_ready(cx)).map_err(Into::into)?;
                self.inner_ready = true;
            }
            match self.place.try_send(&self.price.cost)? {
                Sending::Sent(permit) => return Poll::Ready(Ok(permit)),
                Sending::Lost => self.inner_is_slow |= had_to_wait,
            }
        }
    }

    /// Whoever waits here must not keep others from what the inner service reserved for it; unless
    /// that would mean never to have both at a time.
    fn unready_inner(&mut self) {
        if self.inner_ready && !self.inner_is_slow {
            self.inner = self.inner.clone();
            self.inner_ready = false;
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Admission { admission } => {
                    let admission = admission.get_mut();
                    let Some(waiting) = admission else {
                        panic!("`ResponseFuture` polled after completion");
                    };
                    let sent = ready!(waiting.poll_send(cx));
                    let Some(Admission {
                        limiter,
                        price,
                        request,
                        mut inner,
                        ..
                    }) = admission.take()
                    else {
                        panic!("`ResponseFuture` polled after completion");
                    };
                    let permit = sent?;
                    let response = SyncWrapper::new(inner.call(request));
                    state.set(State::Sent {
                        response,
                        permit: Some(permit),
                        answer: price.answer,
                        limiter,
                    });
                }
                StateProj::Sent {
                    response,
                    permit,
                    answer,
                    limiter,
                } => {
                    let response = ready!(response.get_pin_mut().poll(cx));
                    let permit = permit.take();
                    // An error is never a head: dropping the permit leaves the request counted.
                    let response = response.map_err(Into::into)?;
                    let Some(permit) = permit else {
                        panic!("`ResponseFuture` polled after completion");
                    };
                    match limiter.answered(permit, *answer, response) {
                        Answered::Whole(response) => return Poll::Ready(Ok(response)),
                        Answered::Refused(refused) => state.set(State::Refused { refused }),
                    }
                }
                StateProj::Refused { refused } => return refused.poll(cx).map(Ok),
                StateProj::Passed { response } => {
                    let response = ready!(response.get_pin_mut().poll(cx));
                    let response = response.map_err(Into::into)?;
                    return Poll::Ready(Ok(response.map(ResponseBody::unmetered)));
                }
                StateProj::Failed { error } => {
                    let Some(error) = error.take() else {
                        panic!("`ResponseFuture` polled after completion");
                    };
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
