use std::time::Duration;

use super::Core;
use crate::schedule::{Cause, Cost, Decision, Timestamp, Wait};

/// When a request would be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eta {
    /// So long from now.
    In(Duration),
    /// Only when others are answered.
    Unknown,
    /// A limit is smaller than it, or the provider refuses everything.
    Never,
}

impl Core {
    /// When a newcomer of this cost would be admitted as things stand. Takes nothing, and joins no
    /// line.
    ///
    /// With nobody in line it is exact if nothing happens until then. With others in line it is as if
    /// they were one request, each of them sent its interval after the one before, and each time that a
    /// limit is full a whole window passed. It does not foresee what answers give back or take away,
    /// the slow start after a pause, and whether those in line will come.
    pub(in crate::tracker) fn eta(&mut self, now: Timestamp, cost: &Cost) -> Eta {
        if self.closed(now).is_some() {
            return Eta::Never;
        }
        let first = match self.strategy.decide(now, cost) {
            Decision::Never(_) => return Eta::Never,
            decision => decision,
        };
        let ahead = self.line.demand();
        let (decision, windows) = match ahead.requests {
            0 => (first, Duration::ZERO),
            _ => {
                let (last, windows) = self.last_window(now, ahead, cost);
                (self.strategy.decide(now, &last), windows)
            }
        };
        let fits_at = match decision {
            Decision::Admit => now,
            Decision::Wait(Wait {
                until: Some(until), ..
            }) => until.max(now),
            Decision::Wait(Wait { until: None, .. }) | Decision::Never(_) => return Eta::Unknown,
        };
        let begins = self.begins(now, first);
        let ahead = u32::try_from(ahead.requests).unwrap_or(u32::MAX);
        let spaced = begins + self.strategy.interval().saturating_mul(ahead);
        let at = (fits_at + windows).max(spaced).max(self.pause_end());
        Eta::In(at.saturating_since(now))
    }

    /// From when on those in line are sent, if `first` is about the next request.
    fn begins(&self, now: Timestamp, first: Decision) -> Timestamp {
        let begins = match first {
            Decision::Wait(Wait {
                until: Some(until),
                cause: Cause::Spacing,
            }) => until,
            _ => now,
        };
        begins.max(self.pause_end())
    }

    /// What is left to be admitted in the window that a request of `cost` behind all of `ahead` gets
    /// into, and how long after the current one that begins.
    fn last_window(&mut self, now: Timestamp, ahead: Cost, cost: &Cost) -> (Cost, Duration) {
        let wanted = ahead.zip(*cost, u64::saturating_add);
        let (mut last, mut windows) = (wanted, Duration::ZERO);
        for status in self.strategy.status(now) {
            let (limit, effective) = (status.limit, status.effective.max(1));
            let wanted = wanted.of(limit.meter());
            let full = wanted.saturating_sub(1) / effective;
            let times = u32::try_from(full).unwrap_or(u32::MAX);
            windows = windows.max(limit.window().saturating_mul(times));
            last = last.at_most(limit.meter(), wanted - full * effective);
        }
        (last, windows)
    }
}
