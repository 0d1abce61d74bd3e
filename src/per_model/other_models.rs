use crate::layer::ProactiveRateLimitLayer;

/// What to do with a request for a model without a budget of its own, or of which the model cannot
/// be told.
#[derive(Clone, Debug, Default)]
pub struct OtherModels(pub(super) Policy);

#[derive(Clone, Debug, Default)]
pub(super) enum Policy {
    #[default]
    Refuse,
    Allow,
    Limit(Box<ProactiveRateLimitLayer>),
}

impl OtherModels {
    /// It is not sent: [`RateLimitError::UnknownModel`](crate::RateLimitError::UnknownModel).
    pub const fn refuse() -> Self {
        Self(Policy::Refuse)
    }

    /// It is sent without a limit.
    pub const fn allow() -> Self {
        Self(Policy::Allow)
    }

    /// It has a budget like that of `layer`, each model one of its own. Those whose model cannot be
    /// told share one, and so do those beyond the 1,024th model: callers may invent names.
    pub fn limit(layer: ProactiveRateLimitLayer) -> Self {
        Self(Policy::Limit(Box::new(layer)))
    }
}
