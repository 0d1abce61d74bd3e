use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::context::ContextExceeded;
use super::failure::Failure;
use super::model::Model;
use super::stats::Counters;
use super::strategy::Strategy;
use crate::error::BoxError;
use crate::future::ResponseFuture as Attempt;
use crate::limiter::Price;
use crate::tracker::Eta;

/// How much later than expected a timer may fire.
const TICK: Duration = Duration::from_millis(1);

/// A model, by its number, and the answer that it is to give.
type Try<S, B, R> = (usize, Attempt<S, B, R>);

/// Which models a request has before it.
pub(super) struct Choice<S, B> {
    candidates: Vec<Candidate<S, B>>,
    patience: Duration,
    strategy: Strategy,
    counters: Arc<Counters>,
    original: Request<B>,
    too_small: Option<ContextExceeded>,
    /// In the order of their failures.
    failed: Vec<(usize, Failure)>,
}

struct Candidate<S, B> {
    model: Model<S, B>,
    /// The request as this model gets it, and its price.
    prepared: Option<(Request<B>, Price)>,
    is_left: bool,
}

impl<S, B> Choice<S, B> {
    pub(super) fn new(
        models: Vec<Model<S, B>>,
        patience: Duration,
        strategy: Strategy,
        counters: Arc<Counters>,
        original: Request<B>,
    ) -> Self {
        let candidate = |model| Candidate {
            model,
            prepared: None,
            is_left: false,
        };
        Self {
            candidates: models.into_iter().map(candidate).collect(),
            patience,
            strategy,
            counters,
            original,
            too_small: None,
            failed: Vec::new(),
        }
    }

    pub(super) fn answered_by(&self, model: usize) {
        self.counters.answered_by(model);
    }

    fn remaining(&self) -> Vec<usize> {
        let candidates = self.candidates.iter().enumerate();
        candidates
            .filter(|(_, candidate)| !candidate.is_left)
            .map(|(index, _)| index)
            .collect()
    }

    /// Those not tried yet, in the order in which they are to be tried after `failed`.
    fn after(&mut self, failed: usize, failure: Failure) -> Vec<usize> {
        self.failed.push((failed, failure));
        let traits = |model: usize| self.candidates[model].model.traits();
        let mut remaining = self.remaining();
        self.strategy.sort(&self.failed, &mut remaining, traits);
        remaining
    }
}

impl<S, B, R> Choice<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + Clone + 'static,
    R: Body,
{
    /// The first model to try, and the attempt.
    pub(super) fn first(&mut self) -> Result<Try<S, B, R>, BoxError> {
        self.counters.begun();
        let order = self.remaining();
        match self.choose(order) {
            Ok(Some(chosen)) => {
                if chosen.0 != 0 && !self.candidates[0].is_left {
                    self.counters.left(Failure::RateLimit);
                }
                Ok(chosen)
            }
            Ok(None) => {
                self.counters.failed();
                let error = self.too_small.take();
                Err(error.map_or_else(|| "there is no model".into(), BoxError::from))
            }
            Err(error) => {
                self.counters.failed();
                Err(error)
            }
        }
    }

    /// The one to try after `model` has failed. `None`: they all have.
    pub(super) fn next_after(
        &mut self,
        model: usize,
        failure: Failure,
    ) -> Result<Option<Try<S, B, R>>, BoxError> {
        if failure == Failure::Context {
            self.leave_smaller_than(model);
        }
        let order = self.after(model, failure);
        let chosen = self.choose(order);
        match &chosen {
            Ok(Some(_)) => self.counters.left(failure),
            Ok(None) | Err(_) => self.counters.failed(),
        }
        chosen
    }

    /// What was too long for one is too long for those that hold no more.
    fn leave_smaller_than(&mut self, model: usize) {
        let Some(window) = self.candidates[model].model.traits().context_window else {
            return;
        };
        for candidate in &mut self.candidates {
            let other = candidate.model.traits().context_window;
            candidate.is_left |= other.is_some_and(|other| other <= window);
        }
    }

    /// The first of `order` whose pool expects to admit the request in time, or else the soonest.
    fn choose(&mut self, mut order: Vec<usize>) -> Result<Option<Try<S, B, R>>, BoxError> {
        let mut soonest: Option<(Duration, usize)> = None;
        let mut at = 0;
        while let Some(&index) = order.get(at) {
            let price = self.prepare(index)?;
            let Some(price) = price else {
                self.counters.left(Failure::Context);
                // What the strategy says of that is about those not looked at yet.
                let mut rest = self.after(index, Failure::Context);
                rest.retain(|model| order[at..].contains(model));
                order = rest;
                at = 0;
                continue;
            };
            let limiter = self.candidates[index].model.service.limiter();
            let wait = match limiter.pool().map(|pool| pool.eta(&price.cost)) {
                Ok(Eta::In(wait)) if wait > self.patience => wait,
                // A tick more than would do, for nobody knows.
                Ok(Eta::Unknown) => self.patience.saturating_add(TICK),
                // It is, or it says at once why not.
                Ok(Eta::In(_) | Eta::Never) | Err(_) => {
                    return Ok(Some(self.attempt(index, price, self.patience)));
                }
            };
            if soonest.is_none_or(|(least, _)| wait < least) {
                soonest = Some((wait, index));
            }
            at += 1;
        }
        let Some((wait, index)) = soonest else {
            return Ok(None);
        };
        match self.prepare(index)? {
            Some(price) => Ok(Some(self.attempt(index, price, wait))),
            None => Ok(None),
        }
    }

    /// What the request costs by this model. `None`: it does not fit into its context.
    fn prepare(&mut self, index: usize) -> Result<Option<Price>, BoxError> {
        let candidate = &mut self.candidates[index];
        if let Some((_, price)) = &candidate.prepared {
            return Ok(Some(*price));
        }
        let request = candidate.model.prepare(self.original.clone())?;
        let limiter = candidate.model.service.limiter();
        let price = limiter.price(&request);
        if let Some(window) = limiter.context_window() {
            let needed = price.context;
            if needed > window {
                candidate.is_left = true;
                if self.too_small.as_ref().is_none_or(|it| it.window < window) {
                    self.too_small = Some(ContextExceeded {
                        model: limiter.model().to_owned(),
                        window,
                        needed,
                    });
                }
                return Ok(None);
            }
        }
        candidate.prepared = Some((request, price));
        Ok(Some(price))
    }

    fn attempt(&mut self, index: usize, price: Price, wait: Duration) -> Try<S, B, R> {
        let candidate = &mut self.candidates[index];
        candidate.is_left = true;
        let request = match candidate.prepared.take() {
            Some((request, _)) => request,
            None => self.original.clone(),
        };
        let others = self.candidates.iter().any(|other| !other.is_left);
        let within = others.then(|| wait.saturating_add(TICK));
        let service = &self.candidates[index].model.service;
        (index, service.start(request, price, within))
    }
}
