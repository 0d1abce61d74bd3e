use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::choice::Choice;
use super::future::ResponseFuture;
use super::model::Model;
use super::stats::{Counters, FallbackStats};
use super::strategy::Strategy;
use crate::body::ResponseBody;
use crate::error::BoxError;

/// How long the primary may keep a request waiting: as long as the tools for agents of the crate's
/// model did.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// Sends each request by the model that can serve it: see the [module](super).
///
/// It is always ready. A clone shares the statistics, and the budgets.
///
/// # Errors
///
/// From the response future: those of the model that answered last, as
/// [`ProactiveRateLimit`](crate::ProactiveRateLimit)'s; [`ContextExceeded`](super::ContextExceeded); or
/// that of a function given to [`Model::try_rewrite`].
pub struct Fallback<S, B> {
    models: Vec<Model<S, B>>,
    patience: Duration,
    strategy: Strategy,
    counters: Arc<Counters>,
}

impl<S, B> Fallback<S, B> {
    /// With no alternates yet.
    pub fn new(primary: Model<S, B>) -> Self {
        Self {
            models: vec![primary],
            patience: DEFAULT_PATIENCE,
            strategy: Strategy::default(),
            counters: Arc::default(),
        }
    }

    /// One more alternate, after those there are.
    #[must_use]
    pub fn alternate(mut self, model: Model<S, B>) -> Self {
        self.models.push(model);
        self
    }

    /// How long a model may keep a request waiting while there is another. Default 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Which model is tried after one has failed. Default [`Strategy::Sequential`].
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The account at this moment, of all clones.
    pub fn stats(&self) -> FallbackStats {
        self.counters.read()
    }
}

impl<S, B, R> Service<Request<B>> for Fallback<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + Clone + 'static,
    R: Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let models = self.models.clone();
        let counters = Arc::clone(&self.counters);
        let choice = Choice::new(models, self.patience, self.strategy, counters, request);
        ResponseFuture::new(choice)
    }
}

impl<S: Clone, B> Clone for Fallback<S, B> {
    fn clone(&self) -> Self {
        Self {
            models: self.models.clone(),
            patience: self.patience,
            strategy: self.strategy,
            counters: Arc::clone(&self.counters),
        }
    }
}

impl<S, B> fmt::Debug for Fallback<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("models", &self.models)
            .field("patience", &self.patience)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}
