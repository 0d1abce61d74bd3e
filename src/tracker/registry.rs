use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::capacity::Capacity;
use super::group::Group;
use super::options::PoolOptions;
use super::pool::Pool;
use super::primitives;
use super::stats::Stats;
use crate::error::{ConflictingPool, RateLimitError};
use crate::schedule::Cost;
use crate::tier::{Charge, Limit, Tier};

/// Every pool of a program, by name.
///
/// Limits are hit by forgetting to share: two clients of one account, each with a limiter of its
/// own, send twice the limit. So [`global`](Self::global) is what a layer uses unless told
/// otherwise, and two tiers of the same provider, pool, tier name and account get the same [`Pool`]
/// wherever they are built.
///
/// Cloning it shares it.
#[derive(Clone, Default)]
pub struct RateLimitTracker {
    registered: Arc<Mutex<HashMap<String, Registered>>>,
}

struct Registered {
    budget: Budget,
    settings: Settings,
}

enum Budget {
    Pool(Pool),
    /// One that pools share beside their own.
    Group(primitives::Arc<Group>),
}

/// What whoever shares a pool has to agree on.
#[derive(Clone)]
struct Settings {
    limits: Vec<Limit>,
    discovers: bool,
    charge: Charge,
    options: PoolOptions,
    is_group: bool,
    /// The group that it belongs to.
    group: Option<String>,
}

impl RateLimitTracker {
    /// A tracker that shares nothing with any other: for tests, or to keep apart what belongs to
    /// different accounts without naming them.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tracker of this process.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<RateLimitTracker> = OnceLock::new();
        GLOBAL.get_or_init(Self::new)
    }

    /// The pool of this tier, made on first use with default options.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::ConflictingPool`] if it exists with other limits or options.
    pub fn pool(&self, tier: &Tier) -> Result<Pool, RateLimitError> {
        self.pool_with(tier, &PoolOptions::default())
    }

    /// The pool of this tier, made on first use.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::ConflictingPool`] if it exists with other limits or options. The first
    /// does not silently win: one of the two would be wrong about what it may send.
    pub fn pool_with(&self, tier: &Tier, options: &PoolOptions) -> Result<Pool, RateLimitError> {
        self.pool_in(tier, options, None)
    }

    /// The pool of this tier, which shares the budget of `group` beside its own.
    pub(crate) fn pool_in(
        &self,
        tier: &Tier,
        options: &PoolOptions,
        group: Option<&primitives::Arc<Group>>,
    ) -> Result<Pool, RateLimitError> {
        let wanted = Settings {
            group: group.map(|group| group.name().to_owned()),
            ..Settings::of(tier, options)
        };
        let make = |name: &str, limits: &[Limit]| {
            let strategy = options.build(tier, limits);
            Budget::Pool(Pool::new(name.to_owned(), strategy, limits, options, group))
        };
        self.budget(tier, wanted, make, |budget| match budget {
            Budget::Pool(pool) => Some(pool.clone()),
            Budget::Group(_) => None,
        })
    }

    /// The budget of this tier, for pools to share.
    pub(crate) fn group(
        &self,
        tier: &Tier,
        options: &PoolOptions,
    ) -> Result<primitives::Arc<Group>, RateLimitError> {
        let wanted = Settings {
            is_group: true,
            ..Settings::of(tier, options)
        };
        let make = |name: &str, limits: &[Limit]| {
            let budget = options.build_shared(tier, limits);
            let follows_days = limits.iter().any(|limit| limit.reset_zone().is_some());
            let group = Group::new(name.to_owned(), budget, follows_days, options.grace);
            Budget::Group(primitives::Arc::new(group))
        };
        self.budget(tier, wanted, make, |budget| match budget {
            Budget::Group(group) => Some(primitives::Arc::clone(group)),
            Budget::Pool(_) => None,
        })
    }

    fn budget<T>(
        &self,
        tier: &Tier,
        wanted: Settings,
        make: impl FnOnce(&str, &[Limit]) -> Budget,
        take: impl Fn(&Budget) -> Option<T>,
    ) -> Result<T, RateLimitError> {
        let name = pool_name(tier);
        if let Some(known) = self.lock().get(&name) {
            return known.agreed(&name, &wanted, take);
        }
        // Outside the lock: a user's factory may take its time, or ask for another pool.
        let budget = make(&name, &wanted.limits);
        let mut registered = self.lock();
        let known = registered.entry(name.clone()).or_insert(Registered {
            budget,
            settings: wanted.clone(),
        });
        known.agreed(&name, &wanted, take)
    }

    /// The accounts of all pools, by name.
    pub fn stats(&self) -> Vec<Stats> {
        let mut stats: Vec<Stats> = self.pools().iter().map(Pool::stats).collect();
        stats.sort_by(|a, b| a.pool.cmp(&b.pool));
        stats
    }

    /// How much room there is in each pool for a request of this cost, by name.
    pub fn capacity(&self, cost: &Cost) -> Vec<Capacity> {
        let mut capacity: Vec<_> = self
            .pools()
            .iter()
            .map(|pool| pool.capacity(cost))
            .collect();
        capacity.sort_by(|a, b| a.pool.cmp(&b.pool));
        capacity
    }

    fn pools(&self) -> Vec<Pool> {
        let registered = self.lock();
        let budgets = registered.values().map(|known| &known.budget);
        budgets
            .filter_map(|budget| match budget {
                Budget::Pool(pool) => Some(pool.clone()),
                Budget::Group(_) => None,
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Registered>> {
        self.registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    fn agreed<T>(
        &self,
        name: &str,
        wanted: &Settings,
        take: impl Fn(&Budget) -> Option<T>,
    ) -> Result<T, RateLimitError> {
        let agreed = self.settings.agree_with(wanted).then(|| take(&self.budget));
        agreed.flatten().ok_or_else(|| {
            RateLimitError::ConflictingPool(Box::new(ConflictingPool {
                pool: name.to_owned(),
                registered: self.settings.to_string(),
                requested: wanted.to_string(),
            }))
        })
    }
}

impl Settings {
    fn of(tier: &Tier, options: &PoolOptions) -> Self {
        Self {
            limits: options.limits(tier),
            discovers: tier.discovers_limits(),
            charge: tier.charge(),
            options: options.clone(),
            is_group: false,
            group: None,
        }
    }

    fn agree_with(&self, other: &Self) -> bool {
        self.limits == other.limits
            && self.discovers == other.discovers
            && self.charge == other.charge
            && self.is_group == other.is_group
            && self.group == other.group
            && self.options.agrees_with(&other.options)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for limit in &self.limits {
            write!(f, "{limit} (effective {}), ", limit.effective())?;
        }
        if self.is_group {
            f.write_str("shared by pools, ")?;
        }
        if let Some(group) = &self.group {
            write!(f, "beside {group}, ")?;
        }
        write!(f, "charge {:?}, {:?}", self.charge, self.options)
    }
}

fn pool_name(tier: &Tier) -> String {
    let mut name = format!("{}/{}@{}", tier.provider(), tier.pool(), tier.name());
    if let Some(account) = tier.account() {
        name.push('#');
        name.push_str(account);
    }
    name
}

impl fmt::Debug for RateLimitTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
