use std::time::Duration;

use super::spacing::Pace;
use super::window::{Fit, Window};
use super::{
    Anchor, Cause, Cost, Decision, Dispatch, Entry, LimitStatus, Phase, ReportedLimit,
    SchedulingStrategy, Settlement, Spacing, Timestamp, Timing, Wait,
};
use crate::tier::{Charge, Limit, Meter};

/// Stays below every limit, in every window the server might look at, and spaces requests evenly.
///
/// Its three rules: never come closer to a limit than its [margin](crate::Margin), keep 60/RPM
/// between dispatches, and count the time that has already passed. A request is admitted by all
/// limits at once or by none.
///
/// # What it guarantees
///
/// As long as the server counts a request once, at no more than was reserved, and no later than
/// [`Timing`] says, it never counts more than a limit's [`effective`](Limit::effective) amount of
/// ours in any interval as long as the limit's window. A sent request counts here from its grant
/// until its window has passed since its *anchor*, a time by which the server has counted it. Take
/// any window of the server and, of our requests counted in it, the one granted last: at that
/// grant every other one still counted here, and the grant required that all of them together fit.
///
/// ```
/// use proactive_rate_limit::schedule::{Decision, Proactive, SchedulingStrategy, Timestamp};
/// use proactive_rate_limit::{Charge, Cost, Limit};
/// use std::time::Duration;
///
/// let limits = [Limit::requests(60).per_minute()];
/// let mut strategy = Proactive::new(limits, Charge::Reserved);
/// let start = Timestamp::ZERO;
///
/// assert_eq!(strategy.decide(start, &Cost::request()), Decision::Admit);
/// let mut entry = strategy.reserve(start, &Cost::request());
/// strategy.dispatch(start, &mut entry);
///
/// // The next one has to wait for its slot, one second later.
/// let Decision::Wait(wait) = strategy.decide(start, &Cost::request()) else { unreachable!() };
/// assert_eq!(wait.until, Some(start + Duration::from_secs(1)));
/// # strategy.settle(start, entry, proactive_rate_limit::schedule::Settlement::Abandoned);
/// ```
#[derive(Debug)]
pub struct Proactive {
    windows: Vec<Window>,
    charge: Charge,
    spacing: Spacing,
    pace: Pace,
    timing: Timing,
    /// Everything granted so far and not released. Only differences count, so it may wrap.
    granted: Cost,
}

impl Proactive {
    /// A strategy for these limits, with even [`Spacing`] and the default [`Timing`].
    pub fn new(limits: impl IntoIterator<Item = Limit>, charge: Charge) -> Self {
        let mut strategy = Self {
            windows: limits
                .into_iter()
                .map(|limit| Window::new(limit, charge))
                .collect(),
            charge,
            spacing: Spacing::Even,
            pace: Pace::new(Duration::ZERO),
            timing: Timing::default(),
            granted: Cost::ZERO,
        };
        strategy.respace();
        strategy
    }

    /// With another spacing.
    #[must_use]
    pub fn with_spacing(mut self, spacing: Spacing) -> Self {
        self.spacing = spacing;
        self.respace();
        self
    }

    /// With other bounds on what the server does late.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    fn on_meter(&self, meter: Meter) -> impl Iterator<Item = (usize, &Window)> {
        self.windows
            .iter()
            .enumerate()
            .filter(move |(_, window)| window.limit().meter() == meter)
    }

    /// The window that a provider reports on if it does not say which: the shortest.
    fn narrowest(&self, meter: Meter) -> Option<usize> {
        self.on_meter(meter)
            .min_by_key(|(_, window)| window.limit().window())
            .map(|(index, _)| index)
    }

    fn has_limit_of(&self, meter: Meter, amount: u64) -> bool {
        self.on_meter(meter)
            .any(|(_, window)| window.limit().amount() == amount)
    }

    /// What counts of ours in the narrowest window of each meter.
    fn counted(&self) -> Cost {
        let of = |meter| {
            self.narrowest(meter)
                .map_or(0, |index| self.windows[index].ours())
        };
        Cost {
            requests: of(Meter::Requests),
            tokens: of(Meter::Tokens),
            input_tokens: of(Meter::InputTokens),
            output_tokens: of(Meter::OutputTokens),
        }
    }

    fn respace(&mut self) {
        let limits = self
            .windows
            .iter()
            .map(|window| (window.limit(), window.amount()));
        self.pace.set_interval(self.spacing.interval(limits));
    }
}

/// The latest of several waits; one without a time is later than any.
struct Latest(Option<Wait>);

impl Latest {
    fn add(&mut self, until: Option<Timestamp>, cause: Cause) {
        let later = match (&self.0, until) {
            (None, _) => true,
            (Some(Wait { until: None, .. }), _) => false,
            (Some(_), None) => true,
            (Some(Wait { until: Some(a), .. }), Some(b)) => b > *a,
        };
        if later {
            self.0 = Some(Wait { until, cause });
        }
    }
}

impl SchedulingStrategy for Proactive {
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        let mut latest = Latest(None);
        if self.windows.iter().any(Window::is_lowered) {
            for window in &mut self.windows {
                window.expire(now);
            }
            self.respace();
        }
        for window in &mut self.windows {
            match window.fits(now, cost.of(window.limit().meter())) {
                Fit::Yes => {}
                Fit::Later(until) => latest.add(until, Cause::Limit(window.limit())),
                Fit::Never(oversize) => return Decision::Never(oversize),
            }
        }
        let slot = self.pace.next_grant();
        if slot > now {
            latest.add(Some(slot), Cause::Spacing);
        }
        latest.0.map_or(Decision::Admit, Decision::Wait)
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        for window in &mut self.windows {
            window.hold(cost.of(window.limit().meter()));
        }
        self.granted = self.granted.zip(*cost, u64::wrapping_add);
        self.pace.grant(now);
        Entry::reserved(*cost)
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        let mut latest = Latest(None);
        for window in &mut self.windows {
            let meter = window.limit().meter();
            let (held, wanted) = (entry.cost.of(meter), cost.of(meter));
            if wanted <= held {
                continue;
            }
            // Oversize is judged by the whole amount, room by what is missing.
            if let Fit::Never(oversize) = window.fits(now, wanted) {
                return Decision::Never(oversize);
            }
            if let Fit::Later(until) = window.fits(now, wanted - held) {
                latest.add(until, Cause::Limit(window.limit()));
            }
        }
        if let Some(wait) = latest.0 {
            return Decision::Wait(wait);
        }
        for window in &mut self.windows {
            let meter = window.limit().meter();
            window.unhold(entry.cost.of(meter));
            window.hold(cost.of(meter));
        }
        self.granted = self.granted.zip(entry.cost, u64::wrapping_sub);
        self.granted = self.granted.zip(*cost, u64::wrapping_add);
        entry.cost = *cost;
        Decision::Admit
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        if entry.phase != Phase::Reserved {
            return Dispatch::Now;
        }
        if !self.pace.dispatch(now) {
            return Dispatch::Crowded;
        }
        entry.phase = Phase::Dispatched { at: now };
        for window in &mut self.windows {
            let amount = entry.cost.of(window.limit().meter());
            window.dispatch(now, amount, &self.timing);
        }
        entry.mark = self.counted().zip(self.granted, u64::wrapping_sub);
        Dispatch::Now
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        let Phase::Dispatched { at } = entry.phase else {
            return;
        };
        let anchor = match self.timing.anchor {
            Anchor::Bounded => now.min(at + self.timing.max_skew),
            Anchor::Answer => now,
        };
        entry.phase = Phase::Answered { anchor };
        for window in &mut self.windows {
            let amount = entry.cost.of(window.limit().meter());
            window.answer(now, at, anchor, amount, &self.timing);
        }
    }

    fn settle(&mut self, now: Timestamp, mut entry: Entry, settlement: Settlement) {
        let settlement = match settlement {
            Settlement::Charged(cost) => {
                let cost = Cost {
                    requests: entry.cost.requests,
                    ..cost
                };
                // Whoever knows what it cost has seen the answer.
                self.answer(now, &mut entry);
                Settlement::Charged(match self.charge {
                    Charge::Actual => cost,
                    // Nothing is given back; what went beyond the reserve is used all the same.
                    Charge::Reserved => cost.zip(entry.cost, u64::max),
                })
            }
            Settlement::Abandoned => settlement,
        };
        for window in &mut self.windows {
            let reserved = entry.cost.of(window.limit().meter());
            window.settle(now, entry.phase, reserved, &settlement, &self.timing);
        }
    }

    fn release(&mut self, _now: Timestamp, entry: Entry) {
        if entry.phase != Phase::Reserved {
            debug_assert!(false, "released a request that was sent");
            return;
        }
        for window in &mut self.windows {
            window.unhold(entry.cost.of(window.limit().meter()));
        }
        self.granted = self.granted.zip(entry.cost, u64::wrapping_sub);
        self.pace.ungrant();
    }

    /// A number below the configured one is believed at once, and given up for a higher one again,
    /// up to the configured one. What is used beyond all that may be ours is somebody else's, and
    /// counts until the next report or until a window has passed.
    ///
    /// A number that belongs to another window than ours, as a daily limit reported where only the
    /// minute is configured, is ignored: it is known by its reset.
    fn reported(&mut self, now: Timestamp, entry: &Entry, reports: &[ReportedLimit]) {
        let granted = self.granted;
        for index in 0..self.windows.len() {
            let limit = self.windows[index].limit();
            let is_narrowest = self.narrowest(limit.meter()) == Some(index);
            let is_only = self.on_meter(limit.meter()).count() == 1;
            let concerns = |report: &&ReportedLimit| {
                report.meter == limit.meter()
                    && match (report.limit, report.reset) {
                        // Zero is how some gateways say that they have no number.
                        (None | Some(0), _) => false,
                        (Some(amount), _) if amount == limit.amount() => true,
                        (Some(amount), _) if self.has_limit_of(limit.meter(), amount) => false,
                        (Some(_), Some(reset)) => is_narrowest && reset <= limit.window(),
                        (Some(_), None) => is_only,
                    }
            };
            // An answer may speak of several limits on one meter, as a project's beside its
            // organisation's: the tightest is in force.
            let Some(report) = reports
                .iter()
                .filter(concerns)
                .min_by_key(|report| report.limit)
            else {
                continue;
            };
            let amount = report.limit.unwrap_or(limit.amount());
            let window = &mut self.windows[index];
            window.report_amount(now, amount);
            if let (Some(remaining), true) = (report.remaining, is_narrowest) {
                let ours = entry.mark.zip(granted, u64::wrapping_add).of(limit.meter());
                let used = amount.saturating_sub(remaining);
                window.set_others(now, used.saturating_sub(ours), report.reset);
            }
        }
        self.respace();
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        let (charge, timing) = (self.charge, &self.timing);
        self.windows.iter_mut().fold(now, |latest, window| {
            let amount = cost.of(window.limit().meter());
            latest.max(window.earliest(now, amount, charge, timing))
        })
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.windows
            .iter_mut()
            .map(|window| window.status(now))
            .collect()
    }
}
