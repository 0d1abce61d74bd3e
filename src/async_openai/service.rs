use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::async_openai::error::OpenAIError;
use ::async_openai::middleware::HttpRequestFactory;
use ::reqwest::{Request, Response};
use sync_wrapper::SyncWrapper;
use tower_service::Service;

use crate::error::BoxError;

/// A service of reqwest's requests as one for async-openai's client.
///
/// Made by [`AsyncOpenAiLayer`](super::AsyncOpenAiLayer). It is ready when the inner service is, and
/// makes each request when it is called.
///
/// # Errors
///
/// `OpenAIError::Reqwest` if it is reqwest's, what the factory says, and anything else boxed.
#[derive(Clone, Copy, Debug)]
pub struct AsyncOpenAi<S> {
    inner: S,
}

impl<S> AsyncOpenAi<S> {
    /// Makes requests for this service.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S> Service<HttpRequestFactory> for AsyncOpenAi<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response;
    type Error = OpenAIError;
    type Future = AsyncOpenAiFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(unboxed)
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        // The one that was polled ready is the one to call; its clone was not.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        AsyncOpenAiFuture {
            sent: SyncWrapper::new(Box::pin(async move {
                let request = factory.build().await?;
                inner.call(request).await.map_err(unboxed)
            })),
        }
    }
}

/// The error that was boxed on its way through the limits.
fn unboxed(error: impl Into<BoxError>) -> OpenAIError {
    match error.into().downcast::<::reqwest::Error>() {
        Ok(error) => OpenAIError::Reqwest(*error),
        Err(error) => OpenAIError::Boxed(error),
    }
}

/// The response of an [`AsyncOpenAi`].
///
/// # Panics
///
/// When polled after completion.
#[must_use = "futures do nothing unless polled"]
pub struct AsyncOpenAiFuture {
    // The wrapper keeps the future `Sync`: boxed stacks ask for it.
    sent: SyncWrapper<Pin<Box<Sent>>>,
}

type Sent = dyn Future<Output = Result<Response, OpenAIError>> + Send;

impl Future for AsyncOpenAiFuture {
    type Output = Result<Response, OpenAIError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.sent.get_mut().as_mut().poll(cx)
    }
}

impl fmt::Debug for AsyncOpenAiFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncOpenAiFuture").finish_non_exhaustive()
    }
}
