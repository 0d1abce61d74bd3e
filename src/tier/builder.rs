use super::{Charge, Limit, Tier, TierError, text};

/// The name of a tier that was not given one.
const CUSTOM: &str = "custom";

/// The name of a tier whose limits are discovered.
pub(super) const DISCOVERED: &str = "discovered";

/// Builds a [`Tier`] of your own; started by [`Tier::builder`].
///
/// ```
/// use proactive_rate_limit::{Limit, Tier, TierError};
///
/// let tier = Tier::builder("anthropic", "claude-opus-5")
///     .tier("negotiated")
///     .account("team-a")
///     .limit(Limit::requests(8_000).per_minute())
///     .limit(Limit::input_tokens(6_000_000).per_minute())
///     .limit(Limit::output_tokens(1_500_000).per_minute())
///     .build()?;
/// assert_eq!(tier.to_string(), "anthropic/claude-opus-5@negotiated#team-a");
///
/// let twice = Tier::builder("acme", "large")
///     .limit(Limit::requests(60).per_minute())
///     .limit(Limit::requests(50).per_minute())
///     .build();
/// assert!(matches!(twice, Err(TierError::DuplicateLimit { .. })));
/// # Ok::<(), TierError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `.build()`"]
pub struct TierBuilder {
    provider: String,
    model: String,
    pool: Option<String>,
    tier: Option<String>,
    account: Option<String>,
    limits: Vec<Limit>,
    discovers: bool,
    charge: Option<Charge>,
    assumed_output_tokens: u64,
    context_window: Option<u64>,
}

impl TierBuilder {
    pub(super) fn new(provider: String, model: String) -> Self {
        Self {
            provider,
            model,
            pool: None,
            tier: None,
            account: None,
            limits: Vec::new(),
            discovers: false,
            charge: None,
            assumed_output_tokens: Tier::DEFAULT_ASSUMED_OUTPUT_TOKENS,
            context_window: None,
        }
    }

    /// Names the tier; `custom` by default, or `discovered`.
    pub fn tier(mut self, name: impl Into<String>) -> Self {
        self.tier = Some(name.into());
        self
    }

    /// Names the budget at the provider. Give models that share one the same name; by default it is
    /// the model's.
    pub fn pool(mut self, name: impl Into<String>) -> Self {
        self.pool = Some(name.into());
        self
    }

    /// Labels the account, as [`Tier::with_account`] does.
    pub fn account(mut self, label: impl Into<String>) -> Self {
        self.account = Some(label.into());
        self
    }

    /// Adds a limit. Without any the tier is unlimited.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Adds several limits.
    pub fn limits(mut self, limits: impl IntoIterator<Item = Limit>) -> Self {
        self.limits.extend(limits);
        self
    }

    /// Takes the limits from the headers of the first response, in place of stating any: see
    /// [`Tier::discover`].
    pub fn discover(mut self) -> Self {
        self.discovers = true;
        self
    }

    /// States what the provider finally counts for a request.
    ///
    /// By default [`Charge::Actual`] for the provider `anthropic`, which documents it for generated
    /// tokens (rate limits page, 2026-10-04), and [`Charge::Reserved`] for every other.
    pub fn charge(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// Sets what is reserved for the answer to a request without an output cap: see
    /// [`Tier::assumed_output_tokens`].
    pub fn assumed_output_tokens(mut self, tokens: u64) -> Self {
        self.assumed_output_tokens = tokens;
        self
    }

    /// States the most tokens that a prompt may have; not known by default.
    pub fn context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// Checks everything and builds the tier.
    ///
    /// The provider is kept in lower case, so that `OpenAI` and `openai` share a budget.
    ///
    /// # Errors
    ///
    /// - [`TierError::EmptyName`] if the provider, model, tier or pool is empty;
    /// - [`TierError::Separator`] if the provider has a `/` or `#` in it, the model a `#`, or the
    ///   tier an `@` or `#`: its text form could not be read back;
    /// - [`TierError::ZeroAmount`], [`TierError::ZeroWindow`], [`TierError::DuplicateLimit`] for
    ///   limits that allow nothing or contradict each other;
    /// - [`TierError::KnownLimits`] for limits beside [`discover`](Self::discover).
    pub fn build(self) -> Result<Tier, TierError> {
        text::check_provider(&self.provider)?;
        text::check_model(&self.model)?;
        let name = self.tier.unwrap_or_else(|| {
            match self.discovers {
                true => DISCOVERED,
                false => CUSTOM,
            }
            .to_owned()
        });
        text::check_tier(&name)?;
        let pool = self.pool.unwrap_or_else(|| self.model.clone());
        text::check_pool(&pool)?;
        check_limits(&self.limits)?;
        if let (true, [known, ..]) = (self.discovers, self.limits.as_slice()) {
            return Err(TierError::KnownLimits { limit: *known });
        }

        let provider = self.provider.to_ascii_lowercase();
        let tier = Tier {
            charge: self
                .charge
                .unwrap_or_else(|| Charge::documented_for(&provider)),
            provider,
            model: self.model,
            pool,
            name,
            account: None,
            limits: self.limits,
            discovers: self.discovers,
            assumed_output_tokens: self.assumed_output_tokens,
            context_window: self.context_window,
        };
        Ok(match self.account {
            Some(label) => tier.with_account(label),
            None => tier,
        })
    }
}

fn check_limits(limits: &[Limit]) -> Result<(), TierError> {
    for (index, limit) in limits.iter().enumerate() {
        limit.check()?;
        let same = |other: &&Limit| {
            other.meter() == limit.meter()
                && other.window() == limit.window()
                && other.reset_zone() == limit.reset_zone()
        };
        if let Some(earlier) = limits[..index].iter().find(same) {
            return Err(TierError::DuplicateLimit {
                first: *earlier,
                second: *limit,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with(limits: impl IntoIterator<Item = Limit>) -> Result<Tier, TierError> {
        Tier::builder("acme", "large").limits(limits).build()
    }

    #[test]
    fn defaults_are_documented_ones() {
        let tier = with([]).unwrap();
        assert_eq!(tier.pool(), "large");
        assert_eq!(tier.name(), "custom");
        assert_eq!(tier.account(), None);
        assert_eq!(tier.limits(), []);
        assert_eq!(tier.charge(), Charge::Reserved);
        assert_eq!(tier.assumed_output_tokens(), 1024);
    }

    #[test]
    fn only_anthropic_documents_that_it_charges_what_was_used() {
        let charge = |provider: &str| Tier::builder(provider, "m").build().unwrap().charge();
        assert_eq!(charge("anthropic"), Charge::Actual);
        assert_eq!(charge("Anthropic"), Charge::Actual);
        assert_eq!(charge("openai"), Charge::Reserved);
        let told = Tier::builder("anthropic", "m").charge(Charge::Reserved);
        assert_eq!(told.build().unwrap().charge(), Charge::Reserved);
    }

    #[test]
    fn a_provider_is_kept_in_lower_case() {
        let tier = Tier::builder("OpenAI", "My-Model").build().unwrap();
        assert_eq!((tier.provider(), tier.model()), ("openai", "My-Model"));
    }

    #[test]
    fn a_limit_has_to_allow_something() {
        let none = Limit::tokens(0).per_minute();
        assert_eq!(with([none]), Err(TierError::ZeroAmount { limit: none }));
        let none = Limit::concurrent(0);
        assert_eq!(with([none]), Err(TierError::ZeroAmount { limit: none }));
        let at_once = Limit::requests(5).per(Duration::ZERO);
        assert_eq!(
            with([at_once]),
            Err(TierError::ZeroWindow { limit: at_once })
        );
    }

    #[test]
    fn one_meter_may_have_several_windows_but_each_only_once() {
        let (minute, day) = (
            Limit::requests(5).per_minute(),
            Limit::requests(99).per_day(),
        );
        assert!(with([minute, day, Limit::tokens(5).per_minute()]).is_ok());
        assert!(with([Limit::concurrent(2), minute]).is_ok());

        let second = Limit::requests(6).per(Duration::from_secs(60));
        assert_eq!(
            with([minute, day, second]),
            Err(TierError::DuplicateLimit {
                first: minute,
                second,
            })
        );
        assert!(with([Limit::concurrent(2), Limit::concurrent(3)]).is_err());
    }

    #[test]
    fn an_empty_label_is_no_account() {
        let tier = Tier::builder("acme", "large").account("").build().unwrap();
        assert_eq!(tier.account(), None);
    }
}
