use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::reqwest::{Body, Error, Request, Response};
use bytes::Bytes;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::request::into_http;
use crate::error::BoxError;

/// A service of `http`'s requests and responses as one of reqwest's.
///
/// Made by [`ReqwestLayer`](super::ReqwestLayer). It is ready when the inner service is.
///
/// # Errors
///
/// The inner service's own, boxed; from `call` also an [`Error`] if the URL of the request is not one
/// that can be sent to.
#[derive(Clone, Copy, Debug)]
pub struct AsReqwest<S> {
    inner: S,
}

impl<S> AsReqwest<S> {
    /// Translates for this service.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> AsReqwest<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    /// Sends one request, as [`Client::execute`](::reqwest::Client::execute) does.
    ///
    /// A clone of this service becomes ready and is called.
    ///
    /// # Errors
    ///
    /// A [`RateLimitError`](crate::RateLimitError) if the request was not admitted, or what the client
    /// says.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the request was sent, it costs nothing. Dropped after, the request stays
    /// counted.
    pub async fn execute(&self, request: Request) -> Result<Response, BoxError> {
        let mut service = self.clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

impl<S, B> Service<Request> for AsReqwest<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    type Response = Response;
    type Error = BoxError;
    type Future = ReqwestFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let state = match into_http(request) {
            Ok(request) => State::Called {
                response: self.inner.call(request),
            },
            Err(error) => State::Failed { error: Some(error) },
        };
        ReqwestFuture { state }
    }
}

pin_project! {
    /// The response of an [`AsReqwest`].
    ///
    /// # Panics
    ///
    /// As the inner service's future, and when polled after completion.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ReqwestFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F> {
        Called {
            #[pin]
            response: F,
        },
        /// It is not a request of `http`.
        Failed {
            error: Option<Error>,
        },
    }
}

impl<F, B, E> Future for ReqwestFuture<F>
where
    F: Future<Output = Result<http::Response<B>, E>>,
    E: Into<BoxError>,
    B: http_body::Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { response } => {
                let response = ready!(response.poll(cx)).map_err(Into::into)?;
                Poll::Ready(Ok(Response::from(response.map(Body::wrap))))
            }
            StateProj::Failed { error } => {
                let Some(error) = error.take() else {
                    panic!("`ReqwestFuture` polled after completion");
                };
                Poll::Ready(Err(error.into()))
            }
        }
    }
}
