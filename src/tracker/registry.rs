use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::options::PoolOptions;
use super::pool::Pool;
use super::stats::Stats;
use crate::error::{ConflictingPool, RateLimitError};
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
    pools: Arc<Mutex<HashMap<String, Registered>>>,
}

struct Registered {
    pool: Pool,
    settings: Settings,
}

/// What whoever shares a pool has to agree on.
struct Settings {
    limits: Vec<Limit>,
    discovers: bool,
    charge: Charge,
    options: PoolOptions,
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
        let name = pool_name(tier);
        let wanted = Settings {
            limits: options.limits(tier),
            discovers: tier.discovers_limits(),
            charge: tier.charge(),
            options: options.clone(),
        };
        if let Some(known) = self.lock().get(&name) {
            return known.pool_for(&name, &wanted);
        }
        // Outside the lock: a user's factory may take its time, or ask for another pool.
        let strategy = options.build(tier, &wanted.limits);
        let pool = Pool::new(name.clone(), strategy, &wanted.limits, options);
        match self.lock().entry(name) {
            Entry::Occupied(raced) => raced.get().pool_for(raced.key(), &wanted),
            Entry::Vacant(vacant) => {
                let registered = vacant.insert(Registered {
                    pool,
                    settings: wanted,
                });
                Ok(registered.pool.clone())
            }
        }
    }

    /// The accounts of all pools, by name.
    pub fn stats(&self) -> Vec<Stats> {
        let pools: Vec<Pool> = self
            .lock()
            .values()
            .map(|known| known.pool.clone())
            .collect();
        let mut stats: Vec<Stats> = pools.iter().map(Pool::stats).collect();
        stats.sort_by(|a, b| a.pool.cmp(&b.pool));
        stats
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Registered>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    fn pool_for(&self, name: &str, wanted: &Settings) -> Result<Pool, RateLimitError> {
        if self.settings.agree_with(wanted) {
            return Ok(self.pool.clone());
        }
        Err(RateLimitError::ConflictingPool(Box::new(ConflictingPool {
            pool: name.to_owned(),
            registered: self.settings.to_string(),
            requested: wanted.to_string(),
        })))
    }
}

impl Settings {
    fn agree_with(&self, other: &Self) -> bool {
        self.limits == other.limits
            && self.discovers == other.discovers
            && self.charge == other.charge
            && self.options.agrees_with(&other.options)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for limit in &self.limits {
            write!(f, "{limit} (effective {}), ", limit.effective())?;
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
