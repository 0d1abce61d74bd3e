//! What happened in a run, in order, by the virtual clock.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proactive_rate_limit::RateLimitError;
use tokio::time::Instant;

/// Which request of which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) client: usize,
    pub(crate) request: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// A client asks to be admitted, from now on.
    Asked(Tag),
    /// A layer let a request through: the departure with this number.
    Departed {
        departure: usize,
        process: usize,
        tag: Tag,
    },
    /// The departure reached the provider's door.
    Entered {
        departure: usize,
    },
    Returned {
        departure: usize,
        end: Return,
    },
    Ended(Tag, Ending),
    /// A client has nothing more to do.
    Finished {
        client: usize,
    },
    /// The provider changed its limits.
    Changed,
    /// A pool's statistics did not add up.
    Unbalanced {
        process: usize,
    },
}

/// What came back to a layer for a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Return {
    Head(u16),
    Failed(ErrorKind),
    /// The client did not wait for it.
    Dropped,
}

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// The whole answer was read.
    Answered(u16),
    /// The head came, and its body failed or stood still.
    BrokenOff(u16),
    /// On the way to or from the provider.
    Failed(ErrorKind),
    /// By the layer: it would have had to wait too long, or could not fit at all.
    Refused(Reason),
    /// The client gave up.
    GaveUp,
    /// The client never called.
    Unused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    Wait,
    Size,
    Exhausted,
    Conflict,
}

impl From<&RateLimitError> for Reason {
    fn from(error: &RateLimitError) -> Self {
        match error {
            RateLimitError::WaitTooLong(_) => Self::Wait,
            RateLimitError::RequestTooLarge(_) => Self::Size,
            RateLimitError::Exhausted(_) => Self::Exhausted,
            RateLimitError::ConflictingPool(_) => Self::Conflict,
            other => panic!("a new kind of error: {other}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// Cheap to clone; all clones write one log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    start: Instant,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    events: Vec<Event>,
    departures: usize,
}

impl Log {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            written: Arc::default(),
        }
    }

    pub(crate) fn write(&self, what: What) {
        let at = self.start.elapsed();
        self.with(|written| written.events.push(Event { at, what }));
    }

    /// Numbers a request that a layer lets through.
    pub(crate) fn depart(&self, process: usize, tag: Tag) -> usize {
        let departure = self.with(|written| {
            written.departures += 1;
            written.departures - 1
        });
        self.write(What::Departed {
            departure,
            process,
            tag,
        });
        departure
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.with(|written| written.events.clone())
    }

    fn with<T>(&self, operate: impl FnOnce(&mut Written) -> T) -> T {
        operate(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The same for the same events at the same times.
pub(crate) fn fingerprint(events: &[Event]) -> u64 {
    let mut hasher = DefaultHasher::new();
    events.hash(&mut hasher);
    hasher.finish()
}
