use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::schedule::{Proactive, SchedulingStrategy, Spacing, Timing};
use crate::tier::{Limit, Margin, Tier};

/// Makes a pool's strategy from its limits.
pub type StrategyFactory = dyn Fn(&Tier, &[Limit]) -> Box<dyn SchedulingStrategy> + Send + Sync;

/// How a pool keeps its limits. Whoever shares a pool has to ask for the same.
#[derive(Clone)]
pub struct PoolOptions {
    pub(crate) margin: Option<Margin>,
    pub(crate) spacing: Spacing,
    pub(crate) timing: Timing,
    pub(crate) grace: Duration,
    pub(crate) strategy: Option<Arc<StrategyFactory>>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            margin: None,
            spacing: Spacing::Even,
            timing: Timing::default(),
            grace: Duration::from_millis(100),
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

    /// How long what was granted is kept for whoever does not use it, while others wait. Whoever is
    /// woken to claim it is waited for a tenth of that, and longer if it comes late. Default 100 ms.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Another strategy than [`Proactive`]. It replaces spacing and timing too.
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

    pub(super) fn build(&self, tier: &Tier, limits: &[Limit]) -> Box<dyn SchedulingStrategy> {
        match &self.strategy {
            Some(factory) => factory(tier, limits),
            None => Box::new(
                Proactive::new(limits.iter().copied(), tier.charge())
                    .with_spacing(self.spacing)
                    .with_timing(self.timing),
            ),
        }
    }

    /// Whether a pool made with these options does what `other` asks for. Two strategies of the
    /// user's own agree if they come from one factory.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let same_strategy = match (&self.strategy, &other.strategy) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        };
        same_strategy
            && self.spacing == other.spacing
            && self.timing == other.timing
            && self.grace == other.grace
    }
}

impl fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("margin", &self.margin)
            .field("spacing", &self.spacing)
            .field("timing", &self.timing)
            .field("grace", &self.grace)
            .field("strategy", &self.strategy.as_ref().map(|_| "custom"))
            .finish()
    }
}
