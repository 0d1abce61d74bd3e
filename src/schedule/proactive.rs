mod discovery;

use std::time::Duration;

use super::moment::{Moment, Wall};
use super::outputs::Outputs;
use super::probe::{Probe, Unknown};
use super::reports;
use super::spacing::{LONGEST_PACED_WINDOW, Pace};
use super::window::{Fit, Ours, Window};
use super::{
    Anchor, Cause, Cost, Decision, Dispatch, Entry, LimitStatus, OutputReserve, Phase,
    ReportedLimit, SchedulingStrategy, Settlement, Spacing, Timestamp, Timing, Wait,
    saturating_nanos,
};
use crate::tier::{Charge, Limit, Margin, Meter};

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
    wall: Wall,
    probe: Probe,
    /// `None` where every answer is reserved its cap.
    outputs: Option<Outputs>,
    /// The margin of what is to be discovered; `None` where the limits are known.
    discovers: Option<Margin>,
    follows_raises: bool,
    widest_margin: Option<Margin>,
    /// After a pause, everything is spaced until then.
    respaced_until: Timestamp,
    /// Everything granted so far and not released. Only differences count, so it may wrap.
    granted: Cost,
    /// How many entries are neither settled nor released, and what they cost together.
    under_way: usize,
    committed: Cost,
}

impl Proactive {
    /// A strategy for these limits, with even [`Spacing`] and the default [`Timing`].
    pub fn new(limits: impl IntoIterator<Item = Limit>, charge: Charge) -> Self {
        let timing = Timing::default();
        let mut strategy = Self {
            windows: limits
                .into_iter()
                .map(|limit| Window::new(limit, charge, &timing))
                .collect(),
            charge,
            spacing: Spacing::Even,
            pace: Pace::new(Duration::ZERO),
            timing,
            wall: Wall::default(),
            probe: Probe::default(),
            outputs: None,
            discovers: None,
            follows_raises: false,
            widest_margin: None,
            respaced_until: Timestamp::ZERO,
            granted: Cost::ZERO,
            under_way: 0,
            committed: Cost::ZERO,
        };
        strategy.respace();
        strategy.with_output_reserve(OutputReserve::default())
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
        for window in &mut self.windows {
            window.set_timing(&timing);
        }
        self
    }

    /// With another reserve for answers of unknown length, where limits count what they really take.
    #[must_use]
    pub fn with_output_reserve(mut self, reserve: OutputReserve) -> Self {
        self.outputs = match self.charge {
            Charge::Actual => Outputs::new(reserve),
            Charge::Reserved => None,
        };
        self
    }

    /// Believes a higher limit than configured, too, where the provider's report leaves no doubt of
    /// which window it speaks.
    #[must_use]
    pub fn following_raises(mut self) -> Self {
        self.follows_raises = true;
        self
    }

    /// Widens the margin of every windowed limit, up to `widest`, when the provider refuses all the
    /// same or counts more than was let through; narrows it again, by half, after each window in
    /// which the provider agreed (at most 300 s).
    #[must_use]
    pub fn with_adaptive_margin(mut self, widest: Margin) -> Self {
        self.widest_margin = Some(widest);
        for window in &mut self.windows {
            window.adapt(widest);
        }
        self
    }

    /// Takes the limits from the first report of the provider, each with this margin. Until then
    /// requests go one at a time: each waits for the answer to the one before, at most 60 s.
    ///
    /// It follows raises, for it knows nothing better than what the provider reports. A limit that no
    /// report has confirmed for 300 s is in doubt: requests go past it one at a time, until an answer
    /// speaks of limits. Unless it speaks of this one, it is none.
    #[must_use]
    pub fn discovering(mut self, margin: Margin) -> Self {
        self.discovers = Some(margin);
        self.expect_usual();
        self
    }

    fn limits(&self) -> Vec<Limit> {
        self.standing().map(Window::limit).collect()
    }

    /// The windows of limits that are still believed to be some.
    fn standing(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(|window| !window.is_gone())
    }

    /// What counts of ours in the narrowest window of each meter, in one that stands if there is any.
    fn counted(&self) -> Cost {
        let of = |meter| {
            self.windows
                .iter()
                .filter(|window| window.limit().meter() == meter)
                .min_by_key(|window| (window.is_gone(), window.limit().window()))
                .map_or(0, Window::ours)
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
            .standing()
            .map(|window| (window.limit(), window.amount()));
        let interval = self.spacing.interval(limits);
        self.pace.set_interval(interval);
    }

    /// How long nothing may follow a request of this cost. After a pause those who waited must not
    /// all come at once, even where nothing else spaces them: each takes the time in which the
    /// windows give back what it costs, those that are longer than a minute as if they were one.
    fn interval(&self, now: Timestamp, cost: &Cost) -> Duration {
        let usual = self.pace.interval();
        if now >= self.respaced_until {
            return usual;
        }
        self.standing()
            .map(|window| {
                let length = window.limit().window().min(LONGEST_PACED_WINDOW);
                let amount = u128::from(cost.of(window.limit().meter()).min(window.amount()));
                let nanos = u128::from(saturating_nanos(length)) * amount
                    / u128::from(window.amount().max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            })
            .fold(usual, Duration::max)
    }

    /// Why the next request has to go alone, if it has to.
    fn unknown(&self, now: Timestamp) -> Option<Unknown> {
        let is_discovered = || {
            let mut standing = self.standing().peekable();
            standing.peek().is_some() && !standing.any(|window| window.is_doubtful(now))
        };
        if self.discovers.is_some() && !is_discovered() {
            Some(Unknown::Limits)
        } else if self.standing().any(|window| window.is_stale(now)) {
            Some(Unknown::Others)
        } else if self.probe.is_cautious() {
            Some(Unknown::Mood)
        } else {
            None
        }
    }

    /// The answer to `entry` is counted among others from now on.
    fn board(&mut self, entry: &mut Entry) {
        if let Some(outputs) = &mut self.outputs {
            if self.windows.iter().any(Window::counts_answers) {
                entry.boarding = outputs.enter(&entry.cost);
                self.relieve();
            }
        }
    }

    fn leave(&mut self, entry: &mut Entry, settlement: &Settlement) {
        let (Some(outputs), Some(boarding)) = (&mut self.outputs, entry.boarding.take()) else {
            return;
        };
        let charged = match settlement {
            Settlement::Charged(cost) => Some(cost),
            Settlement::Abandoned => None,
        };
        outputs.leave(boarding, &entry.cost, charged);
        self.relieve();
    }

    /// Tells the windows what is reserved for the answers under way.
    fn relieve(&mut self) {
        let relief = self.outputs.as_ref().map_or(0, Outputs::relief);
        for window in &mut self.windows {
            window.relieve(relief);
        }
    }

    fn end_probe(&mut self, entry: &mut Entry) {
        if std::mem::take(&mut entry.is_probe) {
            self.probe.end();
        }
    }

    fn correct(&mut self, now: Moment, entry: &Entry, reports: &[ReportedLimit]) {
        let Phase::Answered { anchor } = entry.phase else {
            return;
        };
        let limits = self.limits();
        let is_spaced = !self.pace.interval().is_zero();
        let windows = self.windows.iter_mut().enumerate();
        let standing = windows.filter(|(_, window)| !window.is_gone());
        for ((index, window), limit) in standing.zip(&limits) {
            let report = reports::about(limit, &limits, reports);
            window.weigh(now.time, report.is_some());
            let Some(report) = report else {
                continue;
            };
            if let Some(amount) = report.limit {
                // What was discovered was a report itself, and no better than the next one.
                let raises = self.discovers.is_some()
                    || self.follows_raises && reports::is_certain(report, limit.window());
                window.report_amount(now.time, entry.sent, amount, raises);
            }
            // Of what was under way before the window was discovered it is not known what counted
            // then.
            let tells_use = index < entry.windows && reports::tells_use(report, limit, &limits);
            if let (Some(remaining), true) = (report.remaining, tells_use) {
                let most = match reports::is_narrowest(limit, &limits) {
                    true => entry
                        .mark
                        .zip(self.granted, u64::wrapping_add)
                        .of(limit.meter()),
                    false => window.most_since(now, entry.sent),
                };
                let ours = Ours {
                    sent: entry.sent,
                    anchor,
                    most,
                    own: entry.cost.of(limit.meter()),
                    is_even: is_spaced && limit.meter() == Meter::Requests,
                };
                window.report_remaining(now, report, remaining, ours, &self.timing);
            }
        }
        self.respace();
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
    fn synchronise(&mut self, now: Timestamp, unix: Duration) {
        self.wall.set(now, unix);
    }

    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        let mut latest = Latest(None);
        let moment = self.wall.now(now);
        if self.windows.iter().any(Window::is_corrected) {
            for window in &mut self.windows {
                window.expire(moment);
            }
            self.respace();
        }
        for window in &mut self.windows {
            match window.fits(moment, cost.of(window.limit().meter()), &self.timing) {
                Fit::Yes => {}
                Fit::Later(until) => latest.add(until, Cause::Limit(window.limit())),
                Fit::Never(oversize) => return Decision::Never(oversize),
            }
        }
        let slot = self.pace.next_grant();
        if slot > now {
            latest.add(Some(slot), Cause::Spacing);
        }
        if let Some(awaited) = self.probe.awaited(now) {
            if self.unknown(now).is_some() {
                latest.add(Some(awaited), Cause::Probe);
            }
        }
        latest.0.map_or(Decision::Admit, Decision::Wait)
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        let mut entry = Entry::reserved(*cost);
        if let Some(unknown) = self.unknown(now) {
            self.probe.send(now, unknown);
            entry.is_probe = true;
        }
        entry.windows = self.windows.len();
        for window in &mut self.windows {
            window.hold(cost.of(window.limit().meter()));
        }
        self.granted = self.granted.zip(*cost, u64::wrapping_add);
        self.committed = self.committed.zip(*cost, u64::saturating_add);
        self.under_way += 1;
        self.pace.grant(now, self.interval(now, cost));
        entry
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        let mut latest = Latest(None);
        let moment = self.wall.now(now);
        for window in &mut self.windows {
            let meter = window.limit().meter();
            let (held, wanted) = (entry.cost.of(meter), cost.of(meter));
            if wanted <= held {
                continue;
            }
            // Oversize is judged by the whole amount, room by what is missing.
            if let Fit::Never(oversize) = window.fits(moment, wanted, &self.timing) {
                return Decision::Never(oversize);
            }
            if let Fit::Later(until) = window.fits(moment, wanted - held, &self.timing) {
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
        self.committed = self.committed.zip(entry.cost, u64::saturating_sub);
        self.committed = self.committed.zip(*cost, u64::saturating_add);
        self.granted = self.granted.zip(entry.cost, u64::wrapping_sub);
        self.granted = self.granted.zip(*cost, u64::wrapping_add);
        entry.cost = *cost;
        Decision::Admit
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        if entry.phase != Phase::Reserved {
            return Dispatch::Now;
        }
        // What was granted before a limit was discovered has to be asked for anew.
        let is_outdated = entry.windows < self.windows.len();
        if is_outdated || !self.pace.dispatch(now, self.interval(now, &entry.cost)) {
            return Dispatch::Crowded;
        }
        entry.phase = Phase::Dispatched { at: now };
        entry.sent = now;
        let moment = self.wall.now(now);
        let provisional = moment + self.timing.max_skew;
        entry.wall = provisional.wall;
        for window in &mut self.windows {
            let amount = entry.cost.of(window.limit().meter());
            window.dispatch(moment, provisional, amount, self.timing.anchor);
        }
        entry.mark = self.counted().zip(self.granted, u64::wrapping_sub);
        self.board(entry);
        Dispatch::Now
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        let Phase::Dispatched { at } = entry.phase else {
            return;
        };
        self.end_probe(entry);
        self.probe.answered(at);
        let bound = at + self.timing.max_skew;
        let anchor = match self.timing.anchor {
            Anchor::Bounded => now.min(bound),
            Anchor::Answer => now,
        };
        entry.phase = Phase::Answered { anchor };
        let moment = self.wall.now(now);
        let provisional = Moment {
            time: bound,
            wall: entry.wall,
        };
        let anchor = match self.timing.anchor {
            Anchor::Bounded => self.wall.at(anchor),
            // A wall clock that was set back stands still.
            Anchor::Answer => moment,
        };
        for window in self.windows.iter_mut().take(entry.windows) {
            let amount = entry.cost.of(window.limit().meter());
            window.answer(moment, provisional, anchor, amount, self.timing.anchor);
            window.agree();
        }
        entry.wall = match self.timing.anchor {
            Anchor::Bounded => entry.wall.max(anchor.wall),
            Anchor::Answer => anchor.wall,
        };
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
        self.end_probe(&mut entry);
        let moment = self.wall.now(now);
        let anchor = Moment {
            time: match entry.phase {
                Phase::Answered { anchor } => anchor,
                Phase::Dispatched { .. } | Phase::Reserved => now,
            },
            wall: entry.wall,
        };
        for (index, window) in self.windows.iter_mut().enumerate() {
            let settle = match index < entry.windows {
                true => Window::settle,
                false => Window::settle_held,
            };
            let reserved = entry.cost.of(window.limit().meter());
            settle(
                window,
                moment,
                entry.phase,
                anchor,
                reserved,
                &settlement,
                &self.timing,
            );
        }
        self.committed = self.committed.zip(entry.cost, u64::saturating_sub);
        // What is held no more must be no relief any more.
        self.leave(&mut entry, &settlement);
        self.under_way = self.under_way.saturating_sub(1);
    }

    fn release(&mut self, now: Timestamp, mut entry: Entry) {
        if entry.phase != Phase::Reserved {
            debug_assert!(false, "released a request that was sent");
            return;
        }
        self.end_probe(&mut entry);
        for window in &mut self.windows {
            window.unhold(entry.cost.of(window.limit().meter()));
        }
        self.granted = self.granted.zip(entry.cost, u64::wrapping_sub);
        self.committed = self.committed.zip(entry.cost, u64::saturating_sub);
        self.under_way = self.under_way.saturating_sub(1);
        self.pace.ungrant(self.interval(now, &entry.cost));
    }

    /// A number below the configured one is believed at once, for a window's length or 300 s, one of
    /// what may be in flight for 60 s; a higher one only where that was [asked for](Self::following_raises). What is used beyond all
    /// that may be ours is somebody else's. It is taken to go on growing as it did, and counts until
    /// the next report, or until it has expired; then one request goes first to find out.
    ///
    /// A number that belongs to another window than ours is ignored.
    fn reported(&mut self, now: Timestamp, entry: &mut Entry, reports: &[ReportedLimit]) {
        if !reports.is_empty() {
            let moment = self.wall.now(now);
            self.discover(moment, entry, reports);
            self.correct(moment, entry, reports);
        }
        for window in &mut self.windows {
            window.forget_stale(now);
        }
    }

    fn throttled(&mut self, now: Timestamp, entry: &Entry, meter: Option<Meter>) {
        if entry.phase == Phase::Reserved {
            return;
        }
        let fullest = self.standing().map(Window::fullness).max();
        for window in &mut self.windows {
            let is_it = match meter {
                Some(meter) => window.limit().meter() == meter,
                None => Some(window.fullness()) == fullest,
            };
            if is_it {
                window.widen(now, entry.sent);
            }
        }
    }

    fn paused(&mut self, _now: Timestamp, until: Timestamp) {
        self.probe.pause(until);
        let window = self
            .standing()
            .map(|window| window.limit().window().min(LONGEST_PACED_WINDOW))
            .max();
        self.respaced_until = self
            .respaced_until
            .max(until + window.unwrap_or(Duration::ZERO));
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        let moment = self.wall.now(now);
        let (charge, timing) = (self.charge, &self.timing);
        self.windows.iter_mut().fold(now, |latest, window| {
            let amount = cost.of(window.limit().meter());
            latest.max(window.earliest(moment, amount, charge, timing))
        })
    }

    fn interval(&self) -> Duration {
        self.pace.interval()
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        let moment = self.wall.now(now);
        self.windows
            .iter_mut()
            .filter(|window| !window.is_gone())
            .map(|window| window.status(moment))
            .collect()
    }
}
