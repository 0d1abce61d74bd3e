use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use ::reqwest::{Request, Response};
use ::reqwest_middleware::{Error, Next};
use http::Extensions;
use tower_service::Service;

/// The middlewares that follow, and the client, for one request.
///
/// # Panics
///
/// When it is called again, or one of its clones.
#[derive(Clone)]
pub(super) struct Chain<'a> {
    // Shared, since the limits want to clone what they call, and there is one of the extensions.
    rest: Arc<Mutex<Option<Rest<'a>>>>,
}

type Rest<'a> = (Next<'a>, &'a mut Extensions);

impl<'a> Chain<'a> {
    pub(super) fn new(next: Next<'a>, extensions: &'a mut Extensions) -> Self {
        Self {
            rest: Arc::new(Mutex::new(Some((next, extensions)))),
        }
    }
}

impl<'a> Service<Request> for Chain<'a> {
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((next, extensions)) = rest.take() else {
            panic!("`Chain` called again");
        };
        next.run(request, extensions)
    }
}
