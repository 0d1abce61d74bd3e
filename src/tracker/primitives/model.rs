//! The tracker's surroundings as a model checker sees them.
//!
//! [Loom](https://docs.rs/loom) runs a test once for every order in which its threads can take
//! their locks, up to a bound on preemptions. A runtime is one such thread, and the time is a number
//! that it moves on to its next timer, at any moment, when it has nothing else to do.

pub mod runtime;
pub mod time;

pub(crate) mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}
