//! What the tracker takes from outside: shared ownership, a lock, the time, and a runtime to watch
//! the line on.
//!
//! A build with `--cfg proactive_rate_limit_model` takes them from a model checker instead (see
//! `tests/model`), so that what is checked is the tracker itself and not a copy of its protocol.

#[cfg(proactive_rate_limit_model)]
pub mod model;

#[cfg(not(proactive_rate_limit_model))]
pub(super) use std::sync::{Arc, Mutex, MutexGuard, Weak};

#[cfg(not(proactive_rate_limit_model))]
pub(super) use tokio::{
    runtime,
    time::{Instant, Sleep, sleep_until},
};

#[cfg(proactive_rate_limit_model)]
pub(super) use self::model::{
    runtime,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::{Instant, Sleep, sleep_until},
};

/// A handle on `strong` that does not keep it.
#[cfg(not(proactive_rate_limit_model))]
pub(super) fn downgrade<T>(strong: &Arc<T>) -> Weak<T> {
    Arc::downgrade(strong)
}

#[cfg(proactive_rate_limit_model)]
pub(super) use self::model::sync::downgrade;
