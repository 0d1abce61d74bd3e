use std::fmt;

use super::{Cost, Decision, Dispatch, Entry, LimitStatus, Settlement, Timestamp};
use crate::tier::Meter;

/// Decides which request may be sent when, and keeps the account.
///
/// A strategy is pure bookkeeping: it reads no clock, takes no lock, awaits nothing. It is told the
/// time with each operation; the caller sees to it that time never goes back and that operations do
/// not overlap. One request passes through
///
/// ```text
/// decide → reserve → [resize] → dispatch → answer → settle
///             └──────────────┴→ release   └────────→ settle
/// ```
///
/// and every [`Entry`] ends in exactly one `settle` or `release`. [`Proactive`](super::Proactive)
/// is the strategy this crate is built around; wrap it to observe or to tighten it.
pub trait SchedulingStrategy: fmt::Debug + Send {
    /// Whether a request of this cost may be reserved now. Takes nothing.
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision;

    /// Reserves what [`decide`](Self::decide) admitted at the same `now`.
    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry;

    /// Changes what is reserved for an entry that has not been dispatched, all or nothing: with any
    /// answer but [`Decision::Admit`] the entry is as before.
    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision;

    /// Stamps the entry as sent, or says when it may be.
    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch;

    /// The response head of a dispatched entry is here. A second answer changes nothing.
    fn answer(&mut self, now: Timestamp, entry: &mut Entry);

    /// Ends a dispatched entry.
    fn settle(&mut self, now: Timestamp, entry: Entry, settlement: Settlement);

    /// Ends an entry that was never dispatched: it costs nothing.
    fn release(&mut self, now: Timestamp, entry: Entry);

    /// The provider said that its limit on `meter`, over a window it refills in `reset` if it named
    /// one, is `amount`.
    ///
    /// The default ignores it.
    fn reported(
        &mut self,
        now: Timestamp,
        meter: Meter,
        amount: u64,
        reset: Option<std::time::Duration>,
    ) {
        let _ = (now, meter, amount, reset);
    }

    /// The earliest time at which a request of `cost` can be admitted after all of `ahead` has
    /// been, as far as that is certain already. Never later than the true time if nothing is
    /// released.
    ///
    /// The default looks at the request alone.
    fn predict(&mut self, now: Timestamp, ahead: &Cost, cost: &Cost) -> Timestamp {
        let _ = ahead;
        match self.decide(now, cost) {
            Decision::Wait(wait) => wait.until.unwrap_or(now),
            Decision::Admit | Decision::Never(_) => now,
        }
    }

    /// Every limit as it stands.
    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus>;
}
