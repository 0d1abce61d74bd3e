use std::fmt;
use std::io;

use ::reqwest::{Body, Request, Response};
use ::reqwest_middleware::{Error, Middleware, Next};
use async_trait::async_trait;
use bytes::Bytes;
use http::Extensions;
use tower_layer::Layer;
use tower_service::Service;

use super::chain::Chain;
use crate::error::{BoxError, RateLimitError};
use crate::layer::ProactiveRateLimitLayer;
use crate::per_model::{PerModelRateLimit, PerModelRateLimitLayer, RequestModel};
use crate::provider::TokenEstimate;
use crate::reqwest::{AsHttp, AsReqwest, with_extension};
use crate::service::ProactiveRateLimit;

/// Admits requests to the middlewares that follow under the limits of a pool.
///
/// See the [module](super) for its use.
#[derive(Clone)]
pub struct RateLimitMiddleware {
    limits: Limits,
}

#[derive(Clone)]
enum Limits {
    One(ProactiveRateLimit<()>),
    PerModel(PerModelRateLimit<()>),
}

impl RateLimitMiddleware {
    /// Admits as the services of `layer` do, on the same pool.
    pub fn new(layer: ProactiveRateLimitLayer) -> Self {
        Self {
            limits: Limits::One(layer.layer(())),
        }
    }

    /// Admits each request by the budget of the model that it names.
    pub fn per_model(layer: PerModelRateLimitLayer) -> Self {
        Self {
            limits: Limits::PerModel(layer.layer(())),
        }
    }
}

#[async_trait]
impl Middleware for RateLimitMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        if let Some(estimate) = extensions.get::<TokenEstimate>() {
            request = with_extension(request, *estimate)?;
        }
        if let Some(model) = extensions.get::<RequestModel>() {
            request = with_extension(request, model.clone())?;
        }
        let chain = AsHttp::new(Chain::new(next, extensions));
        let sent = match &self.limits {
            Limits::One(limits) => send(limits.around(chain), request).await,
            Limits::PerModel(limits) => send(limits.around(chain), request).await,
        };
        sent.map_err(unboxed)
    }
}

async fn send<S, B>(limited: S, request: Request) -> Result<Response, BoxError>
where
    S: Service<http::Request<Body>, Response = http::Response<B>, Error = BoxError> + Clone,
    B: http_body::Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    AsReqwest::new(limited).execute(request).await
}

/// The error that was boxed on its way through the limits.
fn unboxed(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let error = match error.downcast::<::reqwest::Error>() {
        Ok(error) => return Error::Reqwest(*error),
        Err(error) => error,
    };
    match error.downcast::<RateLimitError>() {
        Ok(error) => Error::middleware(*error),
        Err(error) => Error::middleware(io::Error::other(error)),
    }
}

impl fmt::Debug for RateLimitMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitMiddleware")
            .finish_non_exhaustive()
    }
}
