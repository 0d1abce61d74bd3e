use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::budgets::{Budgets, Choice};
use crate::deadline::Deadline;
use crate::error::{BoxError, RateLimitError};
use crate::future::ResponseFuture;
use crate::limiter::Limiter;
use crate::tracker::Place;

/// A service whose requests are admitted by the budgets of their models.
///
/// Made by [`PerModelRateLimitLayer`](super::PerModelRateLimitLayer). It is ready when the inner
/// service is; requests wait in their response futures.
///
/// # Errors
///
/// From `call`: as [`ProactiveRateLimit`](crate::ProactiveRateLimit)'s, and
/// [`RateLimitError::UnknownModel`](crate::RateLimitError::UnknownModel) or
/// [`RateLimitError::LineFull`](crate::RateLimitError::LineFull). From `poll_ready`: the inner
/// service's own.
pub struct PerModelRateLimit<S> {
    inner: S,
    budgets: Arc<Budgets>,
}

impl<S> PerModelRateLimit<S> {
    pub(super) fn new(inner: S, budgets: Arc<Budgets>) -> Self {
        Self { inner, budgets }
    }

    fn place<B>(&self, limiter: &Limiter, request: &Request<B>) -> Result<Place, RateLimitError> {
        let place = limiter.place()?.unless_behind(self.budgets.max_waiting());
        match Deadline::left(request.extensions()) {
            Some(left) => place.within(left),
            None => Ok(place),
        }
    }

    /// The same budgets around another service.
    #[cfg(feature = "reqwest-middleware")]
    pub(crate) fn around<T>(&self, inner: T) -> PerModelRateLimit<T> {
        PerModelRateLimit::new(inner, Arc::clone(&self.budgets))
    }
}

impl<S, B, R> Service<Request<B>> for PerModelRateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    R: Body,
{
    type Response = Response<crate::ResponseBody<R>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let choice = match self.budgets.choose(&request) {
            Ok(choice) => choice,
            Err(error) => return ResponseFuture::refuse(error),
        };
        // The one that was polled ready is the one to call; its clone was not.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        match choice {
            Choice::Unlimited => ResponseFuture::pass(inner.call(request)),
            Choice::Limited(limiter) => match self.place(&limiter, &request) {
                Ok(place) => {
                    let price = limiter.price(&request);
                    ResponseFuture::admit(limiter, place, price, inner, true, request)
                }
                Err(error) => ResponseFuture::refuse(error),
            },
        }
    }
}

impl<S: Clone> Clone for PerModelRateLimit<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            budgets: Arc::clone(&self.budgets),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for PerModelRateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerModelRateLimit")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
