use std::fmt;
use std::sync::Arc;

use http::Request;

use super::strategy::Traits;
use crate::error::BoxError;
use crate::service::ProactiveRateLimit;

type Rewrite<B> = dyn Fn(Request<B>) -> Result<Request<B>, BoxError> + Send + Sync;

/// One of the models of a [`Fallback`](super::Fallback): a service in a layer of its own, and how a
/// request is made into one for it.
pub struct Model<S, B> {
    pub(super) service: ProactiveRateLimit<S>,
    rewrite: Option<Arc<Rewrite<B>>>,
    cost_per_token: Option<f64>,
}

impl<S, B> Model<S, B> {
    /// A model that takes requests as they are.
    ///
    /// `service` is in the layer with the model's tier. Models of one
    /// [`Fallback`](super::Fallback) need clients of one type: box those that differ, as
    /// [`tower::util::BoxCloneSyncService`], and put the layers around the boxes.
    pub fn new(service: ProactiveRateLimit<S>) -> Self {
        Self {
            service,
            rewrite: None,
            cost_per_token: None,
        }
    }

    /// Makes a request into one for this model: with its name in the body, its host, its key. It is
    /// given a clone of the original, extensions included.
    ///
    /// It may be called for requests that are then not sent: to know what they would cost.
    #[must_use]
    pub fn rewrite<F>(self, rewrite: F) -> Self
    where
        F: Fn(Request<B>) -> Request<B> + Send + Sync + 'static,
    {
        self.try_rewrite(move |request| Ok(rewrite(request)))
    }

    /// [`rewrite`](Self::rewrite) with a function that may fail. Its error is then the answer.
    #[must_use]
    pub fn try_rewrite<F>(mut self, rewrite: F) -> Self
    where
        F: Fn(Request<B>) -> Result<Request<B>, BoxError> + Send + Sync + 'static,
    {
        self.rewrite = Some(Arc::new(rewrite));
        self
    }

    /// What a token costs, in whatever currency, for
    /// [`Strategy::Cheapest`](super::Strategy::Cheapest). What is not a number is not known.
    #[must_use]
    pub fn cost_per_token(mut self, cost: f64) -> Self {
        self.cost_per_token = Some(cost).filter(|cost| !cost.is_nan());
        self
    }

    pub(super) fn prepare(&self, request: Request<B>) -> Result<Request<B>, BoxError> {
        match &self.rewrite {
            Some(rewrite) => rewrite(request),
            None => Ok(request),
        }
    }

    pub(super) fn traits(&self) -> Traits<'_> {
        let limiter = self.service.limiter();
        Traits {
            provider: limiter.provider_name(),
            context_window: limiter.context_window(),
            cost_per_token: self.cost_per_token,
        }
    }
}

impl<S: Clone, B> Clone for Model<S, B> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            rewrite: self.rewrite.clone(),
            cost_per_token: self.cost_per_token,
        }
    }
}

impl<S, B> fmt::Debug for Model<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("model", &self.service.limiter().model())
            .field("cost_per_token", &self.cost_per_token)
            .finish_non_exhaustive()
    }
}
