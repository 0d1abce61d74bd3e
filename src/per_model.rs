//! One client, many models: each request is admitted by the budget of the model that it names.
//!
//! A provider limits each model, or each family of models, for itself. One
//! [`ProactiveRateLimitLayer`] knows one such budget; [`PerModelRateLimitLayer`] has several and
//! chooses by the request: by the model in its body or URL, and, if asked to, by the account whose
//! key it carries.
//!
//! ```
//! use std::time::Duration;
//!
//! use proactive_rate_limit::per_model::{Accounts, OtherModels, PerModelRateLimitLayer};
//! use proactive_rate_limit::{Limit, ProactiveRateLimitLayer, Tier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let large = Tier::lookup("openai", "gpt-4o", "tier1")?;
//! let small = Tier::lookup("openai", "gpt-4o-mini", "tier1")?;
//! let organisation = Tier::builder("openai", "organisation")
//!     .limit(Limit::requests(10_000).per_minute())
//!     .build()?;
//! let others = Tier::builder("openai", "any")
//!     .limit(Limit::requests(60).per_minute())
//!     .build()?;
//! let layer = PerModelRateLimitLayer::new()
//!     .budget(ProactiveRateLimitLayer::new(large).max_wait(Duration::from_secs(60)))
//!     .budget(ProactiveRateLimitLayer::new(small))
//!     .alias("gpt-4o-2024-11-20", "gpt-4o")
//!     .shared(ProactiveRateLimitLayer::new(organisation))
//!     .others(OtherModels::limit(ProactiveRateLimitLayer::new(others)))
//!     .accounts(Accounts::by_credential())
//!     .max_waiting(1_000);
//! # let _ = layer;
//! # Ok(())
//! # }
//! ```
//!
//! # Waiting
//!
//! Which budget a request needs is known only when it is here. So `poll_ready` is that of the inner
//! service, and the wait is in the response future, in the line of that budget alone: a model at its
//! limit keeps nobody from another. For that, callers are not held back by readiness; at most
//! [`max_waiting`](PerModelRateLimitLayer::max_waiting) requests wait for one budget, and the next one
//! gets [`RateLimitError::LineFull`](crate::RateLimitError::LineFull) at once. A time-out around the
//! response future covers the wait.

mod accounts;
mod budgets;
mod layer;
mod other_models;
mod request_model;
mod service;

pub use self::accounts::Accounts;
pub use self::layer::PerModelRateLimitLayer;
pub use self::other_models::OtherModels;
pub use self::request_model::RequestModel;
pub use self::service::PerModelRateLimit;

#[cfg(doc)]
use crate::ProactiveRateLimitLayer;
