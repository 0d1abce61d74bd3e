use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::clock::WallClock;
use crate::schedule::{OutputReserve, Proactive, SchedulingStrategy, Spacing, Timing};
use crate::tier::{Limit, Margin, Tier};

/// Makes a pool's strategy from its limits.
pub type StrategyFactory = dyn Fn(&Tier, &[Limit]) -> Box<dyn SchedulingStrategy> + Send + Sync;

/// How a pool keeps its limits. Whoever shares a pool has to ask for the same.
#[derive(Clone)]
pub struct PoolOptions {
    pub(crate) margin: Option<Margin>,
    pub(crate) spacing: Spacing,
    pub(crate) timing: Timing,
    pub(crate) output_reserve: OutputReserve,
    pub(crate) grace: Duration,
    pub(crate) max_hold: Duration,
    pub(crate) follows_raises: bool,
    pub(crate) widest_margin: Option<Margin>,
    pub(crate) wall_clock: Option<Arc<WallClock>>,
    pub(crate) strategy: Option<Arc<StrategyFactory>>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            margin: None,
            spacing: Spacing::Even,
            timing: Timing::default(),
            output_reserve: OutputReserve::default(),
            grace: Duration::from_millis(100),
            max_hold: Duration::from_secs(300),
            follows_raises: false,
            widest_margin: None,
            wall_clock: None,
            strategy: None,
        }
    }
}

impl PoolOptions {
    /// The margin of every windowed limit, in place of each limit's own.
    #[must_use]
    pub fn safety_margin(mut self, margin: Margin) -> Self {
        self.margin = Some(margin);
        self
    }

    /// The least time between two dispatches. Default: [`Spacing::Even`].
    #[must_use]
    pub fn spacing(mut self, spacing: Spacing) -> Self {
        self.spacing = spacing;
        self
    }

    /// What the server may do how late. Default: [`Timing::default`].
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// What is reserved for answers of unknown length, of a limit that counts what they really take.
    /// Default: [`OutputReserve::default`], learned from the answers.
    #[must_use]
    pub fn output_reserve(mut self, reserve: OutputReserve) -> Self {
        self.output_reserve = reserve;
        self
    }

    /// How long what was granted is kept for whoever does not use it, while others wait. Whoever is
    /// woken to claim it is waited for a tenth of that, and longer if it comes late. Default 100 ms.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The longest pause that an answer of the provider can impose, whatever it asks for. Default
    /// 300 s. After it one request goes first, to find out whether the provider still refuses.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// Believes a limit that is higher than configured, too, if the provider reports one and leaves
    /// no doubt of which window it speaks. Otherwise only lower ones are believed.
    #[must_use]
    pub fn follow_raises(mut self) -> Self {
        self.follows_raises = true;
        self
    }

    /// Lets the margin of every windowed limit grow up to `widest` when the provider refuses all the
    /// same, or counts more than was let through. It narrows again, by half, after each window in
    /// which the provider agreed (at most 300 s). Off by default.
    #[must_use]
    pub fn adaptive_margin(mut self, widest: Margin) -> Self {
        self.widest_margin = Some(widest);
        self
    }

    /// What tells the time of day, in place of the system's clock: for limits per calendar day, and
    /// for points in time in a response that has no `Date`.
    ///
    /// For tests on a paused clock. It is called often, and never under a lock.
    #[must_use]
    pub fn wall_clock<F>(mut self, clock: F) -> Self
    where
        F: Fn() -> SystemTime + Send + Sync + 'static,
    {
        self.wall_clock = Some(Arc::new(clock));
        self
    }

    /// Another strategy than [`Proactive`]. It replaces spacing, timing, the reserve for answers,
    /// raises and the adaptive margin too.
    ///
    /// It runs under the pool's lock: it must be quick and must not call back into the pool.
    #[must_use]
    pub fn strategy<F>(mut self, factory: F) -> Self
    where
        F: Fn(&Tier, &[Limit]) -> Box<dyn SchedulingStrategy> + Send + Sync + 'static,
    {
        self.strategy = Some(Arc::new(factory));
        self
    }

    /// The limits a pool of `tier` keeps with these options.
    pub(super) fn limits(&self, tier: &Tier) -> Vec<Limit> {
        let with_margin = |limit: &Limit| match self.margin {
            Some(margin) if limit.window() > Duration::ZERO => limit.margin(margin),
            _ => *limit,
        };
        tier.limits().iter().map(with_margin).collect()
    }

    /// What pools of `tier` share beside their own budgets. They are spaced by those.
    pub(super) fn build_shared(&self, tier: &Tier, limits: &[Limit]) -> Proactive {
        Proactive::new(limits.iter().copied(), tier.charge())
            .with_spacing(Spacing::Off)
            .with_timing(self.timing)
            .with_output_reserve(self.output_reserve)
    }

    pub(super) fn build(&self, tier: &Tier, limits: &[Limit]) -> Box<dyn SchedulingStrategy> {
        match &self.strategy {
            Some(factory) => factory(tier, limits),
            None => {
                let mut strategy = Proactive::new(limits.iter().copied(), tier.charge())
                    .with_spacing(self.spacing)
                    .with_timing(self.timing)
                    .with_output_reserve(self.output_reserve);
                if let Some(widest) = self.widest_margin {
                    strategy = strategy.with_adaptive_margin(widest);
                }
                if self.follows_raises {
                    strategy = strategy.following_raises();
                }
                if tier.discovers_limits() {
                    strategy = strategy.discovering(self.margin.unwrap_or(Margin::DEFAULT));
                }
                Box::new(strategy)
            }
        }
    }

    /// Whether a pool made with these options does what `other` asks for. Two strategies or clocks
    /// of the user's own agree if they are the same one.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        same(&self.strategy, &other.strategy)
            && same(&self.wall_clock, &other.wall_clock)
            && self.max_hold == other.max_hold
            && self.follows_raises == other.follows_raises
            && self.widest_margin == other.widest_margin
            && self.spacing == other.spacing
            && self.timing == other.timing
            && self.output_reserve == other.output_reserve
            && self.grace == other.grace
    }
}

fn same<T: ?Sized>(ours: &Option<Arc<T>>, theirs: &Option<Arc<T>>) -> bool {
    match (ours, theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
        _ => false,
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("margin", &self.margin)
            .field("spacing", &self.spacing)
            .field("timing", &self.timing)
            .field("output_reserve", &self.output_reserve)
            .field("grace", &self.grace)
            .field("max_hold", &self.max_hold)
            .field("follows_raises", &self.follows_raises)
            .field("widest_margin", &self.widest_margin)
            .field("wall_clock", &self.wall_clock.as_ref().map(|_| "custom"))
            .field("strategy", &self.strategy.as_ref().map(|_| "custom"))
            .finish()
    }
}
