use std::fmt;
use std::time::Duration;

use super::{Cost, Decision, Dispatch, Entry, LimitStatus, ReportedLimit, Settlement, Timestamp};
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
    /// It is `unix` since 1970 by the wall clock. Told before every other operation if a limit ends
    /// with a calendar day, and never otherwise.
    ///
    /// The default ignores it.
    fn synchronise(&mut self, now: Timestamp, unix: Duration) {
        let _ = (now, unix);
    }

    /// Whether a request of this cost may be reserved now. Takes nothing.
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision;

    /// Reserves what [`decide`](Self::decide) admitted at the same `now`.
    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry;

    /// Changes what is reserved for an entry that has not been dispatched, all or nothing: with any
    /// answer but [`Decision::Admit`] the entry is as before.
    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision;

    /// Stamps the entry as sent, unless it would follow another one too closely.
    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch;

    /// The response head of a dispatched entry is here. A second answer changes nothing.
    fn answer(&mut self, now: Timestamp, entry: &mut Entry);

    /// Ends a dispatched entry.
    fn settle(&mut self, now: Timestamp, entry: Entry, settlement: Settlement);

    /// Ends an entry that was never dispatched: it costs nothing.
    fn release(&mut self, now: Timestamp, entry: Entry);

    /// The answer to `entry`, which has just been [answered](Self::answer), said this of the
    /// provider's limits: nothing, if `reports` is empty.
    ///
    /// The default ignores it.
    fn reported(&mut self, now: Timestamp, entry: &mut Entry, reports: &[ReportedLimit]) {
        let _ = (now, entry, reports);
    }

    /// The provider refused `entry` for its rate limit on `meter`, if it said on which.
    ///
    /// The default ignores it.
    fn throttled(&mut self, now: Timestamp, entry: &Entry, meter: Option<Meter>) {
        let _ = (now, entry, meter);
    }

    /// Nobody is admitted before `until`: the provider asked for a pause. The pool sees to that; the
    /// strategy may choose how to begin again.
    ///
    /// The default ignores it.
    fn paused(&mut self, now: Timestamp, until: Timestamp) {
        let _ = (now, until);
    }

    /// A time before which a request of `cost` is certainly not admitted, whatever is answered,
    /// given back or released until then. Used to refuse at once what cannot be served in time.
    ///
    /// The default is certain of nothing.
    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        let _ = cost;
        now
    }

    /// The least time between two requests, as far as there is one. Used to estimate how long those
    /// in line take.
    ///
    /// The default spaces nobody.
    fn interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Every limit as it stands.
    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus>;
}
