//! What a provider allows: a [`Tier`] and its [`Limit`]s.
//!
//! A tier comes from the built-in [`catalogue`], or from [`Tier::builder`] for any model whose
//! limits you know.
//!
//! ```
//! use proactive_rate_limit::{Limit, Tier};
//!
//! let published = Tier::lookup("openai", "gpt-4o-mini", "tier1")?;
//! assert_eq!(published.limits()[0].to_string(), "500 requests per minute");
//!
//! let own = Tier::builder("groq", "openai/gpt-oss-20b")
//!     .limit(Limit::requests(30).per_minute())
//!     .limit(Limit::tokens(8_000).per_minute())
//!     .build()?;
//! assert_eq!(own.to_string(), "groq/openai/gpt-oss-20b@custom");
//! # Ok::<(), proactive_rate_limit::TierError>(())
//! ```

mod builder;
pub mod catalogue;
mod charge;
mod error;
mod limit;
mod meter;
mod near;
#[cfg(feature = "serde")]
mod serialized;
mod snapshot;
mod text;
mod zone;

pub use self::builder::TierBuilder;
use self::catalogue::Catalogue;
pub use self::charge::Charge;
pub use self::error::TierError;
pub use self::limit::{Limit, LimitAmount, Margin};
pub use self::meter::Meter;
pub use self::zone::Zone;

/// What one account may use of one model: who provides it, the limits, and how they are charged.
///
/// Clients whose tiers agree on provider, [`pool`](Self::pool), name and account draw on one
/// budget.
///
/// # Text form
///
/// `provider/model@tier`, and `#account` after it where there is one. [`Display`](std::fmt::Display)
/// writes it; [`FromStr`](std::str::FromStr) reads it by looking the tier up in the [`catalogue`],
/// so limits, margins and charges that were changed afterwards are not part of it.
///
/// ```
/// use proactive_rate_limit::Tier;
///
/// let tier: Tier = "anthropic/claude-haiku-4-5@start#team-a".parse()?;
/// assert_eq!(tier.account(), Some("team-a"));
/// assert_eq!(tier.to_string(), "anthropic/claude-haiku-4-5@start#team-a");
/// # Ok::<(), proactive_rate_limit::TierError>(())
/// ```
///
/// # Serialized form (feature `serde`)
///
/// A map of all fields. Only `provider`, `model` and `limits` are needed for reading; `pool`, `tier`,
/// `account`, `charge`, `assumed_output_tokens` and `context_window` default as in [`Tier::builder`], and the same
/// checks apply. An unlimited tier has to say so with an empty list, one that discovers its limits
/// with `"discover": true` beside it, and unknown fields are
/// refused, because a forgotten or misspelt limit would be no limit.
///
/// ```
/// use proactive_rate_limit::{Limit, Tier};
///
/// let tier: Tier = serde_json::from_str(
///     r#"{
///         "provider": "mistral",
///         "model": "codestral",
///         "limits": [{ "meter": "requests", "amount": 125, "window_seconds": 60 }]
///     }"#,
/// )?;
/// assert_eq!(tier.limits(), [Limit::requests(125).per_minute()]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        into = "serialized::SerializedTier",
        try_from = "serialized::SerializedTier"
    )
)]
pub struct Tier {
    provider: String,
    model: String,
    pool: String,
    name: String,
    account: Option<String>,
    limits: Vec<Limit>,
    discovers: bool,
    charge: Charge,
    assumed_output_tokens: u64,
    context_window: Option<u64>,
}

impl Tier {
    /// The [`assumed_output_tokens`](Self::assumed_output_tokens) of a tier that does not say.
    pub const DEFAULT_ASSUMED_OUTPUT_TOKENS: u64 = 1024;

    /// Starts a tier of your own, for any provider and model. Without a limit it is unlimited.
    ///
    /// ```
    /// use proactive_rate_limit::{Charge, Limit, Tier};
    ///
    /// let tier = Tier::builder("azure", "my-deployment")
    ///     .tier("global-standard")
    ///     .limit(Limit::requests(60).per_minute())
    ///     .build()?;
    /// assert_eq!(tier.pool(), "my-deployment");
    /// assert_eq!(tier.charge(), Charge::Reserved);
    /// # Ok::<(), proactive_rate_limit::TierError>(())
    /// ```
    pub fn builder(provider: impl Into<String>, model: impl Into<String>) -> TierBuilder {
        TierBuilder::new(provider.into(), model.into())
    }

    /// The published limits of a model, from the built-in [`catalogue`].
    ///
    /// Upper and lower case are the same. A dated snapshot (`gpt-4o-mini-2024-07-18`,
    /// `claude-haiku-4-5-20251001`) and the alias `-latest` stand for the model they belong to.
    ///
    /// The numbers are as old as the catalogue says, and an account may have others: what the
    /// provider's console or its response headers say is right.
    ///
    /// ```
    /// use proactive_rate_limit::{Tier, TierError};
    ///
    /// let tier = Tier::lookup("OpenAI", "gpt-4o-mini-2024-07-18", "tier1")?;
    /// assert_eq!(tier.to_string(), "openai/gpt-4o-mini@tier1");
    ///
    /// let error = Tier::lookup("openai", "gpt-4o-mni", "tier1").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "no catalogue row for openai model \"gpt-4o-mni\"; did you mean gpt-4o-mini? \
    ///      (`Tier::builder` takes any model)",
    /// );
    /// # Ok::<(), TierError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TierError::UnknownProvider`], [`TierError::UnknownModel`] or [`TierError::UnknownTier`],
    /// each with what the catalogue has instead.
    pub fn lookup(provider: &str, model: &str, tier: &str) -> Result<Self, TierError> {
        Catalogue::builtin().lookup(provider, model, tier)
    }

    /// A tier that takes its limits from what the provider reports: no catalogue needed.
    ///
    /// It begins with a single request. From the headers of its answer come the limits, each with
    /// the usual margin, and from then on whatever the provider reports is in force, lower or
    /// higher. As long as no answer has told any limit, requests go one at a time: each waits for the
    /// head of the answer before it, at most 60 s. A limit that no answer has told is not kept: a
    /// provider that never reports some of its limits (Groq those on requests per minute, Gemini all of
    /// them) is better described by [`Tier::lookup`] or [`Tier::builder`].
    ///
    /// It stands for any model of the provider, on one budget. Where models have limits of their own,
    /// name the model: `Tier::builder(provider, model).discover()`.
    ///
    /// ```
    /// use proactive_rate_limit::Tier;
    ///
    /// let tier = Tier::discover("anthropic")?;
    /// assert_eq!(tier.to_string(), "anthropic/any@discovered");
    /// assert!(tier.discovers_limits());
    /// # Ok::<(), proactive_rate_limit::TierError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TierError::EmptyName`] and [`TierError::Separator`] as in
    /// [`TierBuilder::build`](TierBuilder::build).
    pub fn discover(provider: impl Into<String>) -> Result<Self, TierError> {
        Self::builder(provider, "any").discover().build()
    }

    /// Who provides the model, in lower case: `openai`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The model as the provider's API names it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The budget at the provider that this tier draws on. Models that share one name the same
    /// pool; by default a model has its own, of its own name.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// The name of the tier: `tier1`, `scale`, or `custom` where the builder was not told.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label that keeps the budgets of two accounts apart, if there is one.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Whether the limits are taken from what the provider reports.
    pub fn discovers_limits(&self) -> bool {
        self.discovers
    }

    /// All limits; each has to allow a request. None at all means unlimited, unless they are to be
    /// [discovered](Self::discovers_limits).
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// What the provider finally counts for a request.
    pub fn charge(&self) -> Charge {
        self.charge
    }

    /// How many generated tokens are reserved for a request that sets no output cap of its own, unless
    /// its provider is known to [set more aside](crate::provider::Provider::uncapped_output).
    ///
    /// [`DEFAULT_ASSUMED_OUTPUT_TOKENS`](Self::DEFAULT_ASSUMED_OUTPUT_TOKENS) unless chosen. An
    /// answer that is longer is charged more than was reserved, which may overrun the limits: so
    /// set a cap in the requests, or choose this as large as answers get. Zero suits models that
    /// generate no text.
    pub fn assumed_output_tokens(&self) -> u64 {
        self.assumed_output_tokens
    }

    /// The most tokens that a prompt may have, where it is known. A layer refuses nothing by it; a
    /// [`Fallback`](crate::fallback::Fallback) leaves out a model that it shows to be too small.
    pub fn context_window(&self) -> Option<u64> {
        self.context_window
    }

    /// This tier for another model, in a pool of its own.
    pub(crate) fn with_model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        model.clone_into(&mut self.pool);
        self
    }

    /// This tier for the account with this label. An empty label stands for no account.
    ///
    /// Two API keys of one account share its limits, so label the account and not the key; a label
    /// shows in logs and errors, so it must not be a secret.
    #[must_use]
    pub fn with_account(mut self, label: impl Into<String>) -> Self {
        self.account = Some(label.into()).filter(|label| !label.is_empty());
        self
    }

    /// This tier with another [`charge`](Self::charge).
    #[must_use]
    pub fn with_charge(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    /// This tier with the same margin on every limit per window. Limits on what is in flight at
    /// once keep theirs.
    ///
    /// ```
    /// use proactive_rate_limit::{Margin, Tier};
    ///
    /// let tier = Tier::lookup("openai", "gpt-4o", "tier1")?.with_margin(Margin::Percent(10));
    /// assert_eq!(tier.limits()[0].effective(), 450);
    /// # Ok::<(), proactive_rate_limit::TierError>(())
    /// ```
    #[must_use]
    pub fn with_margin(mut self, margin: Margin) -> Self {
        for limit in &mut self.limits {
            if limit.meter() != Meter::Concurrent {
                *limit = limit.margin(margin);
            }
        }
        self
    }

    /// This tier with other [`assumed_output_tokens`](Self::assumed_output_tokens).
    #[must_use]
    pub fn with_assumed_output_tokens(mut self, tokens: u64) -> Self {
        self.assumed_output_tokens = tokens;
        self
    }
}
