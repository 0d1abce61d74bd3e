use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;
use tower_service::Service;

use super::choice::Choice;
use super::failure::Failure;
use crate::body::ResponseBody;
use crate::error::BoxError;
use crate::future::ResponseFuture as Attempt;

pin_project! {
    /// The response of a [`Fallback`](super::Fallback).
    ///
    /// Which model is taken is decided when this is first polled.
    ///
    /// # Panics
    ///
    /// As [the layer's own](crate::ResponseFuture). When polled after completion.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it costs nothing. What was sent stays counted.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        // The wrapper keeps the future `Sync` whatever bodies and clients are.
        choice: SyncWrapper<Choice<S, B>>,
        #[pin]
        state: State<S, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        New,
        Trying {
            #[pin]
            attempt: Attempt<S, B, R>,
            model: usize,
        },
        Done,
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    pub(super) fn new(choice: Choice<S, B>) -> Self {
        Self {
            choice: SyncWrapper::new(choice),
            state: State::New,
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + Clone + 'static,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let choice = this.choice.get_mut();
        let mut state = this.state;
        loop {
            let (result, model) = match state.as_mut().project() {
                StateProj::New => {
                    match choice.first() {
                        Ok((model, attempt)) => state.set(State::Trying { attempt, model }),
                        Err(error) => {
                            state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                    }
                    continue;
                }
                StateProj::Trying { attempt, model } => (ready!(attempt.poll(cx)), *model),
                StateProj::Done => panic!("`ResponseFuture` polled after completion"),
            };
            let Some(failure) = Failure::of(&result) else {
                choice.answered_by(model);
                state.set(State::Done);
                return Poll::Ready(result);
            };
            match choice.next_after(model, failure) {
                Ok(Some((model, attempt))) => {
                    // Before the next one is waited for: it may hold a connection.
                    drop(result);
                    state.set(State::Trying { attempt, model });
                }
                Ok(None) => {
                    state.set(State::Done);
                    return Poll::Ready(result);
                }
                Err(error) => {
                    state.set(State::Done);
                    return Poll::Ready(Err(error));
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
