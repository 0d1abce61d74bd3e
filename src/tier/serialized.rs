use serde::{Deserialize, Serialize};

use super::{Charge, Limit, Tier, TierError};

/// A [`Tier`] as it is written and read. Reading it is building it, with the same checks.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Tier", deny_unknown_fields)]
pub(super) struct SerializedTier {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) pool: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) account: Option<String>,
    pub(super) limits: Vec<Limit>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) discover: bool,
    pub(super) charge: Option<Charge>,
    pub(super) assumed_output_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) context_window: Option<u64>,
}

impl From<Tier> for SerializedTier {
    fn from(tier: Tier) -> Self {
        Self {
            provider: tier.provider,
            model: tier.model,
            pool: Some(tier.pool),
            tier: Some(tier.name),
            account: tier.account,
            limits: tier.limits,
            discover: tier.discovers,
            charge: Some(tier.charge),
            assumed_output_tokens: Some(tier.assumed_output_tokens),
            context_window: tier.context_window,
        }
    }
}

impl TryFrom<SerializedTier> for Tier {
    type Error = TierError;

    fn try_from(serialized: SerializedTier) -> Result<Self, Self::Error> {
        let mut builder =
            Self::builder(serialized.provider, serialized.model).limits(serialized.limits);
        if serialized.discover {
            builder = builder.discover();
        }
        if let Some(pool) = serialized.pool {
            builder = builder.pool(pool);
        }
        if let Some(tier) = serialized.tier {
            builder = builder.tier(tier);
        }
        if let Some(account) = serialized.account {
            builder = builder.account(account);
        }
        if let Some(charge) = serialized.charge {
            builder = builder.charge(charge);
        }
        if let Some(tokens) = serialized.assumed_output_tokens {
            builder = builder.assumed_output_tokens(tokens);
        }
        if let Some(tokens) = serialized.context_window {
            builder = builder.context_window(tokens);
        }
        builder.build()
    }
}
