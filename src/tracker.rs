//! The shared floor: pools, the line before them, and their accounts.
//!
//! A [`RateLimitTracker`] keeps one [`Pool`] for each budget at a provider. The pool wraps a
//! [`SchedulingStrategy`](crate::schedule::SchedulingStrategy) in one short lock, keeps callers in
//! line, and sees to it that every admission ends in exactly one settlement.
//!
//! # The line
//!
//! Callers are admitted first come, first served. Nobody is handed anything: whoever is next is
//! woken and has to claim, so a caller that nobody polls any more (a kept clone, a cancelled
//! message, an idle worker) takes nothing. It is waited for a tenth of the pool's *grace* (a grace is
//! 100 ms by default), then passed over until it is polled again, with its old place. Likewise what
//! was granted and is not used, while others wait, is taken back after a grace, and won again when
//! its owner comes.

mod capacity;
mod clock;
mod core;
mod driver;
mod group;
mod joint;
mod line;
mod options;
mod outbox;
mod permit;
mod place;
mod pool;
mod primitives;
mod registry;
mod reservation;
mod stats;
mod told;
mod typical;

pub use self::capacity::{Availability, Capacity};
pub use self::clock::WallClock;
pub(crate) use self::core::Eta;
pub use self::options::{PoolOptions, StrategyFactory};
pub use self::permit::Permit;
pub(crate) use self::permit::UsageOutcome;
pub(crate) use self::place::{Place, Sending};
pub(crate) use self::pool::DEFAULT_MAX_WAIT;
pub use self::pool::Pool;
#[cfg(proactive_rate_limit_model)]
pub use self::primitives::model;
pub use self::registry::RateLimitTracker;
pub use self::reservation::Reservation;
pub use self::stats::{LimitStats, Stats};
