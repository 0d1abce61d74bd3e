use std::fmt;
use std::time::Duration;

use super::core::Eta;
use super::pool::Pool;
use super::stats::LimitStats;
#[cfg(feature = "serde")]
use super::stats::seconds;
use crate::schedule::Cost;

/// From here on a limit is near: percent of what is let through.
const NEAR: f64 = 80.0;
const FULL: f64 = 100.0;

/// How much room there is in a pool at one moment, for a request of a given size.
///
/// As text it is a line, with one more for each limit that is near or full. With the feature `serde`
/// durations are serialised as seconds.
///
/// ```
/// use proactive_rate_limit::{Cost, Limit, RateLimitTracker, Tier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tier = Tier::builder("openai", "gpt-4o")
///     .limit(Limit::requests(500).per_minute())
///     .build()?;
/// let pool = RateLimitTracker::new().pool(&tier)?;
/// let capacity = pool.capacity(&Cost::request());
/// assert_eq!(capacity.to_string(), "openai/gpt-4o@custom: available, at once");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// The pool: `provider/pool@tier`, and `#account` if there is one.
    pub pool: String,
    /// How full it is.
    pub availability: Availability,
    /// In how long such a request would be admitted, behind those who wait now: as estimated, if
    /// anybody does. `None`: that depends on answers which are not here yet, or it would be refused.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds::optional"))]
    pub admitted_in: Option<Duration>,
    /// Such a request would be refused: it is larger than a limit, or the provider refuses everything.
    pub is_refused: bool,
    /// Callers in line.
    pub waiting: u64,
    /// Every limit of the pool.
    pub limits: Vec<LimitStats>,
}

/// How full a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Availability {
    /// No limit is near.
    Available,
    /// At least 80 % of what is let through of some limit are used.
    NearLimit,
    /// A limit is full, the provider asked for a pause, or it refuses everything.
    Exhausted,
}

impl Pool {
    /// How much room there is for a request of this cost. Takes nothing, and joins no line.
    pub fn capacity(&self, cost: &Cost) -> Capacity {
        let eta = self.eta(cost);
        let stats = self.stats();
        let fullest = stats.limits.iter().map(|limit| limit.percent);
        let availability = match fullest.fold(0.0, f64::max) {
            _ if stats.hold.is_some() || stats.closed.is_some() => Availability::Exhausted,
            FULL.. => Availability::Exhausted,
            NEAR.. => Availability::NearLimit,
            _ => Availability::Available,
        };
        Capacity {
            pool: stats.pool,
            availability,
            admitted_in: match eta {
                Eta::In(wait) => Some(wait),
                Eta::Unknown | Eta::Never => None,
            },
            is_refused: eta == Eta::Never,
            waiting: stats.waiting,
            limits: stats.limits,
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::NearLimit => "near a limit",
            Self::Exhausted => "exhausted",
        })
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ", self.pool, self.availability)?;
        match self.admitted_in {
            Some(Duration::ZERO) => f.write_str("at once"),
            Some(wait) => write!(f, "in {wait:.1?}"),
            None if self.is_refused => f.write_str("not for such a request"),
            None => f.write_str("when others are answered"),
        }?;
        if self.waiting > 0 {
            write!(f, ", with {} waiting", self.waiting)?;
        }
        for limit in self.limits.iter().filter(|limit| limit.percent >= NEAR) {
            write!(f, "\n  {limit}")?;
        }
        Ok(())
    }
}
