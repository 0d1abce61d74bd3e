use std::sync::{Arc, Mutex};
use std::time::Duration;

use proactive_rate_limit::schedule::{
    Decision, Dispatch, Entry, LimitStatus, Proactive, ReportedLimit, SchedulingStrategy,
    Settlement, Spacing, Timestamp, Timing,
};
use proactive_rate_limit::tracker::{PoolOptions, RateLimitTracker};
use proactive_rate_limit::{Charge, Cost, Limit, Pool, Tier};

/// Looks on at every step of a pool's strategy.
///
/// Never is more counted than the limit allows, the time never goes back, and every entry ends
/// exactly once.
#[derive(Clone, Debug, Default)]
pub struct Audit(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    now: Timestamp,
    open: u64,
    sent: Vec<Duration>,
}

impl Audit {
    /// A pool with this limit, whose server counts at once and frees at once.
    pub fn pool(&self, limit: Limit) -> Pool {
        let tier = Tier::builder("openai", "model")
            .limit(limit)
            .charge(Charge::Actual)
            .build()
            .unwrap();
        let audit = self.clone();
        let options = PoolOptions::default().strategy(move |tier: &Tier, limits: &[Limit]| {
            let mut timing = Timing::default();
            timing.max_skew = Duration::ZERO;
            timing.settle_skew = Duration::ZERO;
            let strategy = Proactive::new(limits.iter().copied(), tier.charge())
                .with_spacing(Spacing::Off)
                .with_timing(timing);
            Box::new(Audited {
                strategy,
                book: audit.clone(),
            })
        });
        RateLimitTracker::new().pool_with(&tier, &options).unwrap()
    }

    /// When requests were sent.
    pub fn sent(&self) -> Vec<Duration> {
        self.0.lock().unwrap().sent.clone()
    }

    /// Every entry has ended.
    pub fn assert_closed(&self) {
        assert_eq!(self.0.lock().unwrap().open, 0);
    }
}

#[derive(Debug)]
struct Audited {
    strategy: Proactive,
    book: Audit,
}

impl Audited {
    fn look(&mut self, now: Timestamp, change: impl FnOnce(&mut Book)) {
        let mut book = self.book.0.lock().unwrap();
        assert!(book.now <= now, "{now:?} after {:?}", book.now);
        book.now = now;
        change(&mut book);
        for status in self.strategy.status(now) {
            assert!(status.used <= status.effective, "{status:?}");
        }
    }
}

impl SchedulingStrategy for Audited {
    fn decide(&mut self, now: Timestamp, cost: &Cost) -> Decision {
        self.look(now, |_| {});
        self.strategy.decide(now, cost)
    }

    fn reserve(&mut self, now: Timestamp, cost: &Cost) -> Entry {
        let entry = self.strategy.reserve(now, cost);
        self.look(now, |book| book.open += 1);
        entry
    }

    fn resize(&mut self, now: Timestamp, entry: &mut Entry, cost: &Cost) -> Decision {
        let decision = self.strategy.resize(now, entry, cost);
        self.look(now, |_| {});
        decision
    }

    fn dispatch(&mut self, now: Timestamp, entry: &mut Entry) -> Dispatch {
        let dispatch = self.strategy.dispatch(now, entry);
        let is_sent = dispatch == Dispatch::Now;
        self.look(now, |book| {
            if is_sent {
                book.sent.push(now.saturating_since(Timestamp::ZERO));
            }
        });
        dispatch
    }

    fn answer(&mut self, now: Timestamp, entry: &mut Entry) {
        self.strategy.answer(now, entry);
        self.look(now, |_| {});
    }

    fn settle(&mut self, now: Timestamp, entry: Entry, settlement: Settlement) {
        self.strategy.settle(now, entry, settlement);
        self.look(now, |book| book.open -= 1);
    }

    fn release(&mut self, now: Timestamp, entry: Entry) {
        self.strategy.release(now, entry);
        self.look(now, |book| book.open -= 1);
    }

    fn reported(&mut self, now: Timestamp, entry: &Entry, reports: &[ReportedLimit]) {
        self.strategy.reported(now, entry, reports);
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        self.strategy.earliest(now, cost)
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.strategy.status(now)
    }
}
