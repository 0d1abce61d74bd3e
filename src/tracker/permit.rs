use std::fmt;
use std::time::Duration;

use super::pool::Shared;
use super::primitives::Arc;
use crate::provider::{Refusal, RefusalCause};
use crate::schedule::{Cost, Entry, ReportedLimit, Settlement};
use crate::usage::Unreadable;

/// One request that counts as sent, until it is settled.
///
/// Dropping it is the careful end for a request nobody heard the end of: whatever was reserved
/// stays counted for as long as the provider may count it.
#[must_use = "a permit that is dropped counts its request as abandoned, at its full reserve"]
pub struct Permit {
    pool: Arc<Shared>,
    /// `None` only after the settlement, when all that is left is to drop.
    entry: Option<Entry>,
}

impl Permit {
    pub(super) fn new(pool: Arc<Shared>, entry: Entry) -> Self {
        Self {
            pool,
            entry: Some(entry),
        }
    }

    /// What is reserved for it.
    pub fn reserved(&self) -> Cost {
        self.entry
            .as_ref()
            .map_or(Cost::ZERO, |entry| *entry.cost())
    }

    /// The response head is here: the provider has counted the request by now. Call it as early
    /// as possible; a second call changes nothing.
    pub fn answered(&mut self) {
        self.answered_with(&[]);
    }

    /// [`answered`](Self::answered), by a response whose headers say this of the provider's limits.
    ///
    /// A limit lower than the configured one is believed at once; what is used and cannot be ours
    /// counts as somebody else's.
    pub fn answered_with(&mut self, reports: &[ReportedLimit]) {
        if let Some(entry) = &mut self.entry {
            self.pool
                .with(|core, now, out| core.answer(now, entry, reports, out));
        }
    }

    /// The response is complete, and the provider counts `charged` for it.
    ///
    /// Of a limit that gives nothing back ([`Charge::Reserved`](crate::Charge::Reserved)), pass at
    /// least what was [reserved](Self::reserved).
    pub fn settle(mut self, charged: Cost) {
        self.end(Settlement::Charged(charged), None);
    }

    /// The response is over, and its body said this of its usage. Nothing is charged for certain
    /// if its end was not seen.
    pub(crate) fn close(mut self, settlement: Settlement, usage: UsageOutcome) {
        self.end(settlement, Some(usage));
    }

    /// The provider refused the request for its rate limit: [`refused`](Self::refused), of which
    /// nothing else is known.
    pub fn throttled(self, retry_after: Option<Duration>) {
        self.refused(Refusal {
            retry_after,
            ..Refusal::of(RefusalCause::RateLimit)
        });
    }

    /// The provider refused the request.
    ///
    /// If waiting helps, nobody is admitted for as long as it asked for, at most
    /// [`max_hold`](super::PoolOptions::max_hold). If it did not say, or says zero, that is a second,
    /// doubled up to 60 s for each refusal in a row. If the account is exhausted or not allowed,
    /// everybody is refused with [`RateLimitError::Exhausted`](crate::RateLimitError::Exhausted) for
    /// the whole of `max_hold`. If this request is too large, others go on.
    ///
    /// The request itself stays counted: a provider may count what it refuses.
    pub fn refused(mut self, refusal: Refusal) {
        self.answered();
        if let Some(entry) = self.entry.take() {
            self.pool
                .with(|core, now, out| core.refuse(now, entry, refusal, out));
        }
    }

    /// The provider seems to have refused the request, which it takes this long to find out.
    pub(crate) fn hesitate(&self, pause: Duration) {
        self.pool.with(|core, now, _| core.hesitate(now, pause));
    }

    fn end(&mut self, settlement: Settlement, usage: Option<UsageOutcome>) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        self.pool.with(|core, now, out| {
            match usage {
                Some(UsageOutcome::Read) => core.counters.usage_read += 1,
                Some(UsageOutcome::Missing) => core.counters.usage_missing += 1,
                Some(UsageOutcome::Unreadable(_)) => core.counters.usage_unreadable += 1,
                None => {}
            }
            core.settle(now, entry, settlement, out);
        });
        // Of a response that was not read to its end nothing is missing that somebody could mend.
        if let Settlement::Charged(_) = settlement {
            let (told, pool) = (self.pool.told(), self.pool.name());
            match usage {
                Some(UsageOutcome::Missing) => told.missing(pool),
                Some(UsageOutcome::Unreadable(why)) => told.unreadable(pool, why),
                Some(UsageOutcome::Read) | None => {}
            }
        }
    }
}

/// What a response's body said of its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageOutcome {
    Read,
    Missing,
    Unreadable(Unreadable),
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Settlement::Abandoned, None);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("pool", &self.pool.name())
            .field("entry", &self.entry)
            .finish()
    }
}
