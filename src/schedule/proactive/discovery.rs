//! Limits that nobody configured, taken from what the provider reports.

use std::time::Duration;

use super::Proactive;
use crate::schedule::moment::Moment;
use crate::schedule::window::Window;
use crate::schedule::{Anchor, Entry, Phase, ReportedLimit, reports};
use crate::tier::{Limit, Meter};

/// How many windows may be discovered in one pool, those that are gone among them as long as something
/// is under way. No provider has as many; a hostile one could name others for ever.
const MOST_WINDOWS: usize = 16;

/// The window that almost every provider has.
const USUAL_WINDOW: Duration = Duration::from_secs(60);

impl Proactive {
    /// Counts for the usual windows before they are reported: whatever was sent until then is known
    /// when they are.
    pub(super) fn expect_usual(&mut self) {
        let usual = [
            Limit::requests(u64::MAX),
            Limit::tokens(u64::MAX),
            Limit::input_tokens(u64::MAX),
            Limit::output_tokens(u64::MAX),
        ];
        let windows = usual.map(|amount| amount.per(USUAL_WINDOW));
        let windows = windows.map(|limit| Window::new(limit, self.charge, &self.timing));
        self.windows.extend(windows.map(Window::unreported));
    }

    /// Drops the windows that are gone, if `entry` is all that may still count in them.
    fn forget_gone(&mut self, entry: &mut Entry) {
        let is_kept =
            |window: &Window| !window.is_gone() || window.limit().window() == USUAL_WINDOW;
        if self.under_way > 1 || self.windows.iter().all(is_kept) {
            return;
        }
        let among_its = self.windows.iter().take(entry.windows);
        entry.windows = among_its.filter(|window| is_kept(window)).count();
        self.windows.retain(is_kept);
    }

    /// Takes the limits that nobody configured, from the answer to `entry`.
    pub(super) fn discover(&mut self, now: Moment, entry: &mut Entry, reports: &[ReportedLimit]) {
        let Some(margin) = self.discovers else {
            return;
        };
        self.forget_gone(entry);
        let known = self.windows.len();
        let mut is_revived = false;
        for report in reports {
            let Some(limit) = reports::discovered(report) else {
                continue;
            };
            let (old, new) = self.windows.split_at_mut(known);
            let is_certain = reports::certain_window(report).is_some();
            let is_known = |old: &Window| {
                let old_limit = old.limit();
                let is_it = !is_certain || old_limit.window() == limit.window();
                old_limit.meter() == limit.meter() && is_it && !old.is_gone()
            };
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
                is_revived = true;
                if let Some(widest) = self.widest_margin {
                    gone.adapt(widest);
                }
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
        let has_new = self.windows.len() > known;
        if has_new {
            self.count_in_new(now, entry, known);
        }
        if has_new || is_revived {
            self.respace();
        }
    }

    /// Counts what is under way, `entry` among it, in the windows that did not exist when it was
    /// granted: all but the first `known`.
    fn count_in_new(&mut self, now: Moment, entry: &mut Entry, known: usize) {
        let Phase::Answered { anchor } = entry.phase else {
            return;
        };
        let anchor = self.wall.at(anchor);
        for window in self.windows.iter_mut().skip(known) {
            if let Some(widest) = self.widest_margin {
                window.adapt(widest);
            }
            // The provider has counted it by the head of its answer at the latest; it is held until its
            // end.
            window.hold(self.committed.of(window.limit().meter()));
            if entry.windows == known {
                let amount = entry.cost.of(window.limit().meter());
                window.answer(now, anchor, anchor, amount, Anchor::Answer);
            }
        }
        if entry.windows == known {
            entry.windows = self.windows.len();
        }
        self.relieve();
        entry.mark = self.counted().zip(self.granted, u64::wrapping_sub);
    }
}
