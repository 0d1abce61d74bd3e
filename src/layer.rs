use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tower_layer::Layer;

use crate::error::RateLimitError;
use crate::limiter::Limiter;
use crate::provider::Tokenizer;
use crate::schedule::{Anchor, OutputReserve, SchedulingStrategy, Spacing};
use crate::service::ProactiveRateLimit;
use crate::tier::{Limit, Margin, Tier};
use crate::tracker::{DEFAULT_MAX_WAIT, Pool, PoolOptions, RateLimitTracker, Stats};

/// Keeps the requests of a client under the rate limits of a [`Tier`].
///
/// Every service it wraps, and every other layer made from the same tier, shares one budget: see
/// [`RateLimitTracker::global`]. The [crate] documentation shows it in use and says where in a stack
/// it belongs.
///
/// ```
/// use std::time::Duration;
///
/// use proactive_rate_limit::{Limit, ProactiveRateLimitLayer, Tier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tier = Tier::builder("openai", "gpt-4o-mini")
///     .limit(Limit::requests(500).per_minute())
///     .limit(Limit::tokens(200_000).per_minute())
///     .build()?;
/// let layer = ProactiveRateLimitLayer::new(tier)
///     .safety_margin(5)
///     .max_wait(Duration::from_secs(30));
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProactiveRateLimitLayer {
    tier: Tier,
    tracker: RateLimitTracker,
    options: PoolOptions,
    tokenizer: Option<Arc<dyn Tokenizer>>,
    max_wait: Duration,
}

/// A budget that pools share beside their own.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) layer: &'a ProactiveRateLimitLayer,
    /// That of the layer, or of one account of it.
    pub(crate) tier: Tier,
}

impl ProactiveRateLimitLayer {
    /// A layer for this tier, with a budget shared by the whole process.
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            tracker: RateLimitTracker::global().clone(),
            options: PoolOptions::default(),
            tokenizer: None,
            max_wait: DEFAULT_MAX_WAIT,
        }
    }

    /// Shares the budget with the users of this tracker only, in place of the whole process.
    #[must_use]
    pub fn tracker(mut self, tracker: &RateLimitTracker) -> Self {
        self.tracker = tracker.clone();
        self
    }

    /// How far below every windowed limit to stay, in units or percent, in place of each limit's
    /// own margin (2 units unless set).
    #[must_use]
    pub fn safety_margin(mut self, margin: impl Into<Margin>) -> Self {
        self.options = self.options.safety_margin(margin.into());
        self
    }

    /// The longest a request may wait for its admission. Default 300 s.
    ///
    /// A request that would certainly wait longer is refused at once, with
    /// [`RateLimitError::WaitTooLong`]. A `Timeout` layer around this one does not cover the wait.
    #[must_use]
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// The longest time from sending a request until the provider has counted it, the time to
    /// connect included. Default 500 ms.
    ///
    /// Larger is safer and slower: at most W/(W + `max_skew`) of the quota of a window W is used.
    ///
    /// It has to cover what a caller does to a response future, too: one that is polled once and then
    /// left alone may connect, and so send, only when it is polled again. Where that happens, choose
    /// [`Anchor::Answer`].
    #[must_use]
    pub fn max_skew(mut self, max_skew: Duration) -> Self {
        self.options.timing.max_skew = max_skew;
        self
    }

    /// How long after the end of a response the provider may still count what it charges at the
    /// end. Default 100 ms.
    #[must_use]
    pub fn settle_skew(mut self, settle_skew: Duration) -> Self {
        self.options.timing.settle_skew = settle_skew;
        self
    }

    /// How long a provider may go on generating, and charging, after its response was dropped.
    /// Default 60 s.
    #[must_use]
    pub fn max_generation(mut self, max_generation: Duration) -> Self {
        self.options.timing.max_generation = max_generation;
        self
    }

    /// From when the window of a sent request runs. Default: [`Anchor::Bounded`].
    #[must_use]
    pub fn anchor(mut self, anchor: Anchor) -> Self {
        self.options.timing.anchor = anchor;
        self
    }

    /// The least time between two requests. Default: [`Spacing::Even`], 60/RPM.
    #[must_use]
    pub fn spacing(mut self, spacing: Spacing) -> Self {
        self.options = self.options.spacing(spacing);
        self
    }

    /// What is reserved for answers of unknown length, of a limit that counts what they really take.
    /// Default: [`OutputReserve::Pooled`] with a risk of 1e-6, learned from the answers.
    #[must_use]
    pub fn output_reserve(mut self, reserve: OutputReserve) -> Self {
        self.options = self.options.output_reserve(reserve);
        self
    }

    /// Counts the tokens of prompts before they are sent, in place of a bound. Default: none.
    ///
    /// It serves limits that count what is really used; the rules by which some providers reserve go by
    /// characters. See [`Tokenizer`].
    #[must_use]
    pub fn tokenizer(mut self, tokenizer: impl Tokenizer + 'static) -> Self {
        self.tokenizer = Some(Arc::new(tokenizer));
        self
    }

    /// How long what was granted is kept for whoever does not use it, while others wait. Whoever is
    /// woken to claim it is waited for a tenth of that, and longer if it comes late. Default 100 ms.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options = self.options.grace(grace);
        self
    }

    /// The longest pause that an answer of the provider can impose. See
    /// [`PoolOptions::max_hold`]. Default 300 s.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.options = self.options.max_hold(max_hold);
        self
    }

    /// Believes limits higher than configured, too. See [`PoolOptions::follow_raises`].
    #[must_use]
    pub fn follow_raises(mut self) -> Self {
        self.options = self.options.follow_raises();
        self
    }

    /// Lets the margins grow up to `widest`, in units or percent, when the provider refuses all the
    /// same. See [`PoolOptions::adaptive_margin`].
    #[must_use]
    pub fn adaptive_margin(mut self, widest: impl Into<Margin>) -> Self {
        self.options = self.options.adaptive_margin(widest.into());
        self
    }

    /// What tells the time of day. See [`PoolOptions::wall_clock`].
    #[must_use]
    pub fn wall_clock<F>(mut self, clock: F) -> Self
    where
        F: Fn() -> SystemTime + Send + Sync + 'static,
    {
        self.options = self.options.wall_clock(clock);
        self
    }

    /// How far the provider's clock may be from this machine's, for limits per calendar day. Default
    /// 2 s.
    #[must_use]
    pub fn clock_skew(mut self, clock_skew: Duration) -> Self {
        self.options.timing.clock_skew = clock_skew;
        self
    }

    /// Another strategy than [`Proactive`](crate::schedule::Proactive). Spacing, skews, anchor and the
    /// reserve for answers are then for the strategy to know; margins are in the limits it is given.
    ///
    /// Clones of this layer share its pool; another layer with a strategy of its own conflicts.
    #[must_use]
    pub fn strategy<F>(mut self, factory: F) -> Self
    where
        F: Fn(&Tier, &[Limit]) -> Box<dyn SchedulingStrategy> + Send + Sync + 'static,
    {
        self.options = self.options.strategy(factory);
        self
    }

    /// The tier it was made for.
    pub fn tier(&self) -> &Tier {
        &self.tier
    }

    /// The pool its services draw on, to ask it directly.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::ConflictingPool`] if the pool is in use with other settings. The services
    /// of this layer then answer every call with that error.
    pub fn pool(&self) -> Result<Pool, RateLimitError> {
        self.tracker.pool_with(&self.tier, &self.options)
    }

    /// What its services have in common, had it been made for `tier`, and for the budget of `shared`
    /// as well.
    pub(crate) fn limiter(&self, tier: &Tier, shared: Option<&Shared<'_>>) -> Limiter {
        let pool = match shared {
            Some(Shared { layer, tier: whole }) => layer
                .tracker
                .group(whole, &layer.options)
                .and_then(|group| self.tracker.pool_in(tier, &self.options, Some(&group))),
            None => self.tracker.pool_with(tier, &self.options),
        };
        Limiter::new(tier, pool, self.tokenizer.clone(), self.max_wait)
    }

    /// The account of its pool at this moment.
    ///
    /// # Errors
    ///
    /// As [`pool`](Self::pool).
    pub fn stats(&self) -> Result<Stats, RateLimitError> {
        self.pool().map(|pool| pool.stats())
    }
}

impl<S> Layer<S> for ProactiveRateLimitLayer {
    type Service = ProactiveRateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let limiter = self.limiter(&self.tier, None);
        ProactiveRateLimit::new(inner, Arc::new(limiter))
    }
}
