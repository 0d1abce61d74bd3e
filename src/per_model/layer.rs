use std::sync::Arc;

use tower_layer::Layer;

use super::accounts::Accounts;
use super::budgets::Budgets;
use super::other_models::{OtherModels, Policy};
use super::service::PerModelRateLimit;
use crate::layer::ProactiveRateLimitLayer;

/// Admits each request by the budget of the model that it names. See the [module](super).
///
/// The budgets are those of its [`ProactiveRateLimitLayer`]s, each with its own tier and options, and
/// are shared in the same way: with every other layer of the same tier.
#[derive(Clone, Debug)]
pub struct PerModelRateLimitLayer {
    known: Vec<ProactiveRateLimitLayer>,
    aliases: Vec<(String, String)>,
    shared: Option<Box<ProactiveRateLimitLayer>>,
    others: OtherModels,
    accounts: Option<Accounts>,
    max_waiting: usize,
}

/// How many requests wait for one budget if nothing else is asked for.
const DEFAULT_MAX_WAITING: usize = 10_000;

impl PerModelRateLimitLayer {
    /// A layer without budgets yet, which refuses every model.
    pub fn new() -> Self {
        Self {
            known: Vec::new(),
            aliases: Vec::new(),
            shared: None,
            others: OtherModels::default(),
            accounts: None,
            max_waiting: DEFAULT_MAX_WAITING,
        }
    }

    /// Admits requests for the model of `layer`'s tier by the budget and with the options of `layer`.
    /// Of two for one model the later one counts.
    ///
    /// Models are told apart by their whole names, in any case.
    #[must_use]
    pub fn budget(mut self, layer: ProactiveRateLimitLayer) -> Self {
        self.known
            .retain(|known| !is_same(known.tier().model(), layer.tier().model()));
        self.known.push(layer);
        self
    }

    /// Takes requests for `alias` for such for `model`.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>, model: impl Into<String>) -> Self {
        self.aliases.push((alias.into(), model.into()));
        self
    }

    /// Admits every request by the budget of `layer` as well, which all models share: that of an
    /// organisation or a project.
    ///
    /// A request is admitted by both budgets in one step or by neither, so it holds nothing of one while
    /// it waits for the other. Models that wait for the shared one are served in the order of their
    /// coming. Of the options of `layer` the margin, the skews, the anchor and the reserve for answers
    /// count; requests are spaced by the budgets of their models, and what a provider's answers say of
    /// limits is taken for these.
    #[must_use]
    pub fn shared(mut self, layer: ProactiveRateLimitLayer) -> Self {
        self.shared = Some(Box::new(layer));
        self
    }

    /// What to do with a request for any other model. Default: [`OtherModels::refuse`].
    ///
    /// A request that asks for no model's work, such as a listing of models, is always sent.
    #[must_use]
    pub fn others(mut self, others: OtherModels) -> Self {
        self.others = others;
        self
    }

    /// Gives each account budgets of its own. Default: all requests are of one account, that of the
    /// tiers.
    ///
    /// Their budgets are kept as long as the tracker.
    #[must_use]
    pub fn accounts(mut self, accounts: Accounts) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// How many requests may wait for one budget. One more gets
    /// [`RateLimitError::LineFull`](crate::RateLimitError::LineFull) at once. Default 10,000.
    #[must_use]
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = max_waiting;
        self
    }

    /// The layer for `model`, if it has a budget of its own.
    pub(super) fn known(&self, model: &str) -> Option<&ProactiveRateLimitLayer> {
        let mut aliases = self.aliases.iter();
        let aliased = aliases.find(|(alias, _)| is_same(alias, model));
        let model = aliased.map_or(model, |(_, model)| model);
        self.known
            .iter()
            .find(|known| is_same(known.tier().model(), model))
    }

    pub(super) fn any(&self) -> Option<&ProactiveRateLimitLayer> {
        self.known.first()
    }

    pub(super) fn for_others(&self) -> &Policy {
        &self.others.0
    }

    pub(super) fn account_of<B>(&self, request: &http::Request<B>) -> Option<String> {
        self.accounts.as_ref()?.of(request)
    }

    pub(super) fn whole(&self) -> Option<&ProactiveRateLimitLayer> {
        self.shared.as_deref()
    }

    pub(super) fn line(&self) -> usize {
        self.max_waiting
    }
}

fn is_same(model: &str, other: &str) -> bool {
    model.eq_ignore_ascii_case(other)
}

impl Default for PerModelRateLimitLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for PerModelRateLimitLayer {
    type Service = PerModelRateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PerModelRateLimit::new(inner, Arc::new(Budgets::new(self.clone())))
    }
}
