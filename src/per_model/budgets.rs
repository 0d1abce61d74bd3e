use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use http_body::Body;

use super::layer::PerModelRateLimitLayer;
use super::other_models::Policy;
use super::request_model::RequestModel;
use crate::error::{RateLimitError, UnknownModel};
use crate::layer::{ProactiveRateLimitLayer, Shared};
use crate::limiter::Limiter;
use crate::peek;
use crate::provider::{self, Endpoint};
use crate::tier::Tier;

/// How many other models have budgets of their own.
const MOST_OTHERS: usize = 1_024;

/// The model that all others are taken for, and those that nobody names.
const ANY: &str = "any";

/// The budgets of one layer, made as they are needed.
#[derive(Debug)]
pub(super) struct Budgets {
    layer: PerModelRateLimitLayer,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    limiters: HashMap<Key, Arc<Limiter>>,
    others: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// In lower case.
    model: String,
    account: Option<String>,
}

/// What a request is admitted by.
#[derive(Debug)]
pub(super) enum Choice {
    Limited(Arc<Limiter>),
    Unlimited,
}

impl Budgets {
    pub(super) fn new(layer: PerModelRateLimitLayer) -> Self {
        Self {
            layer,
            made: Mutex::default(),
        }
    }

    pub(super) fn max_waiting(&self) -> usize {
        self.layer.line()
    }

    pub(super) fn choose<B>(&self, request: &Request<B>) -> Result<Choice, RateLimitError>
    where
        B: Body + 'static,
    {
        let model = self.model(request);
        if model.is_none()
            && Endpoint::of(request.method(), request.uri().path()) == Endpoint::Lookup
        {
            return Ok(Choice::Unlimited);
        }
        let key = Key {
            model: model.as_deref().unwrap_or(ANY).to_ascii_lowercase(),
            account: self.layer.account_of(request),
        };
        if let Some(limiter) = self.find(&key) {
            return Ok(Choice::Limited(limiter));
        }
        let known = model.as_deref().and_then(|model| self.layer.known(model));
        if let Some(layer) = known {
            return Ok(Choice::Limited(self.make(key, layer, layer.tier().clone())));
        }
        match self.layer.for_others() {
            Policy::Refuse => {
                let unknown = UnknownModel { model };
                Err(RateLimitError::UnknownModel(Box::new(unknown)))
            }
            Policy::Allow => Ok(Choice::Unlimited),
            Policy::Limit(layer) => Ok(Choice::Limited(self.make_other(key, layer, model))),
        }
    }

    fn model<B>(&self, request: &Request<B>) -> Option<String>
    where
        B: Body + 'static,
    {
        if let Some(said) = request.extensions().get::<RequestModel>() {
            return Some(said.name().to_owned());
        }
        let known = self.layer.any().map(|layer| layer.tier().provider());
        let chosen = known.and_then(provider::built_in);
        let provider = provider::chosen_or_detected(chosen, request.uri());
        peek::model(provider, request)
    }

    fn find(&self, key: &Key) -> Option<Arc<Limiter>> {
        self.made(|made| made.limiters.get(key).cloned())
    }

    /// The budget of a model that has none of its own.
    fn make_other(
        &self,
        key: Key,
        layer: &ProactiveRateLimitLayer,
        model: Option<String>,
    ) -> Arc<Limiter> {
        let has_room = self.made(|made| {
            made.others = made.others.saturating_add(1);
            made.others <= MOST_OTHERS
        });
        match model.filter(|_| has_room) {
            Some(model) => self.make(key, layer, layer.tier().clone().with_model(&model)),
            None => {
                let key = Key {
                    model: ANY.to_owned(),
                    ..key
                };
                match self.find(&key) {
                    Some(limiter) => limiter,
                    None => self.make(key, layer, layer.tier().clone().with_model(ANY)),
                }
            }
        }
    }

    /// Makes a budget outside of the lock, unless somebody else just did.
    fn make(&self, key: Key, layer: &ProactiveRateLimitLayer, tier: Tier) -> Arc<Limiter> {
        let of_account = |tier: Tier| match &key.account {
            Some(account) => tier.with_account(account.clone()),
            None => tier,
        };
        let shared = self.layer.whole().map(|whole| Shared {
            layer: whole,
            tier: of_account(whole.tier().clone()),
        });
        let limiter = Arc::new(layer.limiter(&of_account(tier), shared.as_ref()));
        self.made(|made| Arc::clone(made.limiters.entry(key).or_insert(limiter)))
    }

    fn made<T>(&self, act: impl FnOnce(&mut Made) -> T) -> T {
        act(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.limiters.keys().map(|key| &key.model);
        f.debug_set().entries(models).finish()
    }
}
