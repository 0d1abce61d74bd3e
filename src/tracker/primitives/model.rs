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

    /// Loom has none. This one keeps what it leads to, which nothing that is checked minds.
    #[derive(Debug)]
    pub(crate) struct Weak<T>(Option<Arc<T>>);

    impl<T> Weak<T> {
        pub(crate) fn new() -> Self {
            Self(None)
        }

        pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
            self.0.clone()
        }
    }

    pub(crate) fn downgrade<T>(strong: &Arc<T>) -> Weak<T> {
        Weak(Some(Arc::clone(strong)))
    }
}
