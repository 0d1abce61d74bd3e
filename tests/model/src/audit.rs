use std::sync::{Arc, Mutex};
use std::time::Duration;

use proactive_rate_limit::schedule::{
    Decision, Dispatch, Entry, LimitStatus, Proactive, ReportedLimit, SchedulingStrategy,
    Settlement, Spacing, Timestamp, Timing,
};
use proactive_rate_limit::tracker::{PoolOptions, RateLimitTracker};
use proactive_rate_limit::{Charge, Cost, Limit, Meter, Pool, Tier};

/// Looks on at every step of a pool's strategy.
///
/// Never is more counted than the limit allows, the time never goes back, and every entry ends
/// exactly once.
#[derive(Clone, Debug)]
pub struct Audit {
    limit: Limit,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    now: Timestamp,
    /// Granted and neither settled nor released.
    open: u64,
    /// Of them, those that are not sent.
    held: u64,
    sent: Vec<Duration>,
    /// Not panics: the checker does not survive one under the pool's lock.
    complaints: Vec<String>,
}

impl Audit {
    /// Of a pool that has to keep this limit.
    pub fn of(limit: Limit) -> Self {
        Self {
            limit,
            book: Arc::default(),
        }
    }

    /// A pool that keeps `limit`, for a server that counts at once and frees at once.
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
                audit: audit.clone(),
            })
        });
        RateLimitTracker::new().pool_with(&tier, &options).unwrap()
    }

    /// When requests were sent.
    pub fn sent(&self) -> Vec<Duration> {
        self.book.lock().unwrap().sent.clone()
    }

    /// Every entry has ended, and at no step was anything wrong.
    pub fn assert_closed(&self) {
        let book = self.book.lock().unwrap();
        assert_eq!(book.complaints, Vec::<String>::new());
        assert_eq!((book.open, book.held), (0, 0));
    }
}

#[derive(Debug)]
struct Audited {
    strategy: Proactive,
    audit: Audit,
}

impl Audited {
    fn look(&mut self, now: Timestamp, change: impl FnOnce(&mut Book)) {
        let mut book = self.audit.book.lock().unwrap();
        if now < book.now {
            let complaint = format!("{now:?} after {:?}", book.now);
            book.complaints.push(complaint);
        }
        book.now = now;
        change(&mut book);
        let counted = book.counted(self.audit.limit);
        let most = self.audit.limit.effective();
        if counted > most {
            let complaint = format!("{counted} counted of at most {most}");
            book.complaints.push(complaint);
        }
    }
}

impl Book {
    /// What a server counts, if all that is granted were sent now. Tokens are not known here.
    fn counted(&self, limit: Limit) -> u64 {
        let now = self.now.saturating_since(Timestamp::ZERO);
        let is_counted = |sent: &&Duration| now < **sent + limit.window();
        match limit.meter() {
            Meter::Concurrent => self.open,
            Meter::Requests => self.held + self.sent.iter().filter(is_counted).count() as u64,
            _ => 0,
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
        self.look(now, |book| {
            book.open += 1;
            book.held += 1;
        });
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
                book.held -= 1;
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
        self.look(now, |book| {
            book.open -= 1;
            book.held -= 1;
        });
    }

    fn reported(&mut self, now: Timestamp, entry: &mut Entry, reports: &[ReportedLimit]) {
        self.strategy.reported(now, entry, reports);
    }

    fn throttled(&mut self, now: Timestamp, entry: &Entry, meter: Option<Meter>) {
        self.strategy.throttled(now, entry, meter);
    }

    fn paused(&mut self, now: Timestamp, until: Timestamp) {
        self.strategy.paused(now, until);
    }

    fn earliest(&mut self, now: Timestamp, cost: &Cost) -> Timestamp {
        self.strategy.earliest(now, cost)
    }

    fn status(&mut self, now: Timestamp) -> Vec<LimitStatus> {
        self.strategy.status(now)
    }
}
