//! The tracker's surroundings as a model checker sees them.
//!
//! [Loom](https://docs.rs/loom) runs a test once for every order in which its threads can take
//! their locks, up to a bound on preemptions. A runtime is one such thread, and the time is a number
//! that stands still while anybody has something to do.

mod idle;
pub mod runtime;
pub mod thread;
pub mod time;

pub(crate) mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}
