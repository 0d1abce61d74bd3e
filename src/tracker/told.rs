//! What a pool says in the log, once: what somebody should mend, and nothing of any request.

use crate::usage::Unreadable;

/// What has been said already.
#[derive(Debug, Default)]
pub(super) struct Told {
    #[cfg(feature = "tracing")]
    missing: Once,
    #[cfg(feature = "tracing")]
    unreadable: Once,
}

#[cfg(not(feature = "tracing"))]
impl Told {
    pub(super) fn missing(&self, _pool: &str) {}

    pub(super) fn unreadable(&self, _pool: &str, _why: Unreadable) {}
}

#[cfg(feature = "tracing")]
impl Told {
    /// A whole response to a request of `pool` reported no usage.
    pub(super) fn missing(&self, pool: &str) {
        if self.missing.is_first() {
            tracing::warn!(
                pool,
                "a response reports no usage, so its request stays counted at all that was reserved \
                 for it (a stream may have to be asked for usage); others like it are not logged"
            );
        }
    }

    /// The usage in a whole response to a request of `pool` cannot be read.
    pub(super) fn unreadable(&self, pool: &str, why: Unreadable) {
        if self.unreadable.is_first() {
            tracing::warn!(
                pool,
                ?why,
                "the usage in a response cannot be read, so its request stays counted at all that was \
                 reserved for it; others like it are not logged"
            );
        }
    }
}

#[cfg(feature = "tracing")]
#[derive(Debug, Default)]
struct Once(std::sync::atomic::AtomicBool);

#[cfg(feature = "tracing")]
impl Once {
    fn is_first(&self) -> bool {
        !self.0.swap(true, std::sync::atomic::Ordering::Relaxed)
    }
}
