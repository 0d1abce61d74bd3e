use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::reqwest::{Body, Error, Request, Response, ResponseBuilderExt};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::request::from_http;
use crate::error::BoxError;

/// A client of reqwest's as a service of `http`'s requests and responses.
///
/// The inner side of [`ReqwestLayer`](super::ReqwestLayer).
#[derive(Clone, Copy, Debug)]
pub struct AsHttp<C> {
    client: C,
}

impl<C> AsHttp<C> {
    /// Translates for this client.
    pub fn new(client: C) -> Self {
        Self { client }
    }

    /// The client.
    pub fn get_ref(&self) -> &C {
        &self.client
    }
}

impl<C> Service<http::Request<Body>> for AsHttp<C>
where
    C: Service<Request, Response = Response>,
    C::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = HttpFuture<C::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.client.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = match from_http(request) {
            Ok(request) => State::Called {
                response: self.client.call(request),
            },
            Err(error) => State::Failed { error: Some(error) },
        };
        HttpFuture { state }
    }
}

pin_project! {
    /// The response of an [`AsHttp`].
    ///
    /// # Errors
    ///
    /// The client's own, boxed.
    ///
    /// # Panics
    ///
    /// When polled after completion.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpFuture<F> {
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
        /// It is not a request that reqwest can send.
        Failed {
            error: Option<Error>,
        },
    }
}

impl<F, E> Future for HttpFuture<F>
where
    F: Future<Output = Result<Response, E>>,
    E: Into<BoxError>,
{
    type Output = Result<http::Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { response } => {
                let response = ready!(response.poll(cx)).map_err(Into::into)?;
                Poll::Ready(Ok(into_http(response)))
            }
            StateProj::Failed { error } => {
                let Some(error) = error.take() else {
                    panic!("`HttpFuture` polled after completion");
                };
                Poll::Ready(Err(error.into()))
            }
        }
    }
}

/// With its URL where reqwest looks for it when the response is turned back.
fn into_http(response: Response) -> http::Response<Body> {
    let mut with_url = http::Response::builder().url(response.url().clone());
    let mut response = http::Response::from(response);
    if let Some(extensions) = with_url.extensions_mut() {
        response.extensions_mut().extend(mem::take(extensions));
    }
    response
}
