//! Limits that nobody configured, taken from what the provider reports.

use super::Proactive;
use crate::schedule::moment::Moment;
use crate::schedule::window::Window;
use crate::schedule::{Anchor, Entry, Phase, ReportedLimit, reports};
use crate::tier::Meter;

/// How many windows may be discovered in one pool, those that are gone among them as long as something
/// is under way. No provider has as many; a hostile one could name others for ever.
const MOST_WINDOWS: usize = 16;

impl Proactive {
    /// Drops the windows that are gone, if `entry` is all that may still count in them.
    fn forget_gone(&mut self, entry: &mut Entry) {
        if self.under_way > 1 || !self.windows.iter().any(Window::is_gone) {
            return;
        }
        let among_its = self.windows.iter().take(entry.windows);
        entry.windows = among_its.filter(|window| !window.is_gone()).count();
        self.windows.retain(|window| !window.is_gone());
    }

    /// Counts `entry`, which is answered, in windows that did not exist when it was granted.
    pub(super) fn discover(&mut self, now: Moment, entry: &mut Entry, reports: &[ReportedLimit]) {
        let Some(margin) = self.discovers else {
            return;
        };
        self.forget_gone(entry);
        let known = self.windows.len();
        for limit in reports.iter().filter_map(reports::discovered) {
            let (old, new) = self.windows.split_at_mut(known);
            let is_known = |old: &Window| old.limit().meter() == limit.meter() && !old.is_gone();
            if old.iter().any(is_known) {
                // From now on it is corrected.
                continue;
            }
            let limit = match limit.meter() {
                Meter::Concurrent => limit,
                _ => limit.margin(margin),
            };
            let is_same = |window: &&mut Window| {
                let found = window.limit();
                (found.meter(), found.window()) == (limit.meter(), limit.window())
            };
            if let Some(gone) = old.iter_mut().find(is_same) {
                gone.revive(now.time, limit);
                continue;
            }
            if old.len() + new.len() >= MOST_WINDOWS {
                continue;
            }
            let found = Window::new(limit, self.charge, &self.timing).reported(now.time);
            match new.iter_mut().find(is_same) {
                // The tighter of two, as in every report.
                Some(other) if other.limit().amount() <= limit.amount() => {}
                Some(other) => *other = found,
                None => self.windows.push(found),
            }
        }
        let Phase::Answered { anchor } = entry.phase else {
            return;
        };
        if self.windows.len() == known {
            return;
        }
        // Others under way are not held in the new ones, so they cannot relieve them.
        if let Some(outputs) = &mut self.outputs {
            outputs.restart();
            self.relieve();
        }
        let anchor = self.wall.at(anchor);
        for window in self.windows.iter_mut().skip(known) {
            if let Some(widest) = self.widest_margin {
                window.adapt(widest);
            }
            if entry.windows == known {
                let amount = entry.cost.of(window.limit().meter());
                window.hold(amount);
                window.answer(now, anchor, anchor, amount, Anchor::Answer);
            }
        }
        if entry.windows == known {
            entry.windows = self.windows.len();
        }
        entry.mark = self.counted().zip(self.granted, u64::wrapping_sub);
        self.respace();
    }
}
