use std::fmt;
use std::future::poll_fn;
use std::sync::PoisonError;
use std::task::Waker;
use std::time::{Duration, SystemTime};

use super::clock::Clock;
use super::core::{Core, Drive, DriverId, Eta};
use super::group::{Group, MemberId};
use super::joint::Joint;
use super::options::PoolOptions;
use super::outbox::Outbox;
use super::permit::Permit;
use super::place::Place;
use super::primitives::{Arc, Instant, Mutex, MutexGuard};
use super::reservation::Reservation;
use super::stats::{LimitStats, Stats};
use super::told::Told;
use crate::error::RateLimitError;
use crate::schedule::{Cost, SchedulingStrategy, Timestamp};
use crate::tier::Limit;

/// How long to wait for an admission if nothing else is asked for.
pub(crate) const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(300);

/// One budget at a provider, shared by everybody who holds a clone of this handle.
///
/// [`ProactiveRateLimitLayer`](crate::ProactiveRateLimitLayer) uses one for each service; a program
/// without tower asks it directly:
///
/// ```
/// use proactive_rate_limit::{Cost, Limit, RateLimitTracker, Tier};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tier = Tier::builder("openai", "gpt-4o-mini")
///     .limit(Limit::requests(500).per_minute())
///     .limit(Limit::tokens(200_000).per_minute())
///     .build()?;
/// let pool = RateLimitTracker::global().pool(&tier)?;
///
/// // What the request may cost at most…
/// let mut permit = pool.acquire(Cost::request().with_tokens(1_200)).await?;
/// // … is sent right away, and its head arrives …
/// permit.answered();
/// // … and in the end it is known what it did cost.
/// permit.settle(Cost::request().with_tokens(700));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    name: String,
    clock: Clock,
    core: Mutex<Core>,
    membership: Option<Membership>,
    told: Told,
}

/// That of a pool in a group.
pub(super) struct Membership {
    pub(super) group: Arc<Group>,
    pub(super) member: MemberId,
}

impl Shared {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// When to look at the line again, for a timer.
    pub(super) fn instant(&self, alarm: Timestamp) -> Instant {
        self.clock.instant(alarm)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // The account stays consistent between operations; only a user's own strategy can panic
        // inside one, and everybody else should not stop for it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation under the lock, and lets those know whom it concerns after.
    pub(super) fn with<T>(
        &self,
        operate: impl FnOnce(&mut Core, Timestamp, &mut Outbox) -> T,
    ) -> T {
        let result = self.operate(operate);
        if let Some(Membership { group, member }) = &self.membership {
            group.tell(*member);
        }
        result
    }

    /// Something of the budget that it shares became free.
    pub(super) fn look_again(&self) {
        self.operate(|core, now, out| core.turn(now, out));
    }

    /// Another pool of the group needs what nobody uses here.
    pub(super) fn take_back(&self) {
        self.operate(|core, now, out| core.take_back(now, out));
    }

    fn operate<T>(&self, operate: impl FnOnce(&mut Core, Timestamp, &mut Outbox) -> T) -> T {
        // Dropped, and so delivered, after the locks are released.
        let mut out = Outbox::default();
        // A user's clock is not called under a lock.
        let unix = self.clock.unix();
        let _turn = self.membership.as_ref().map(|it| it.group.turn());
        let mut core = self.lock();
        // Read under the lock, so that stamps are in the order of the operations.
        let now = core.tick(self.clock.now());
        if let Some(unix) = unix {
            core.synchronise(now, unix);
        }
        operate(&mut core, now, &mut out)
    }

    pub(super) fn drive(&self, id: DriverId, waker: &Waker) -> Drive {
        let drive = self.with(|core, now, out| core.drive(now, id, waker, out));
        if let Some(Membership { group, member }) = &self.membership {
            group.reclaim_for(*member);
        }
        drive
    }

    pub(super) fn lose_driver(&self, id: DriverId) {
        self.with(|core, now, out| core.lose_driver(now, id, out));
    }
}

impl Pool {
    pub(super) fn new(
        name: String,
        strategy: Box<dyn SchedulingStrategy>,
        limits: &[Limit],
        options: &PoolOptions,
        group: Option<&Arc<Group>>,
    ) -> Self {
        let membership = group.map(|group| Membership {
            group: Arc::clone(group),
            member: group.join(),
        });
        let epoch = group.map_or_else(Instant::now, |group| group.epoch());
        let follows_days = limits.iter().any(|limit| limit.reset_zone().is_some())
            || group.is_some_and(|group| group.follows_days());
        let strategy = match &membership {
            Some(Membership { group, member }) => {
                Box::new(Joint::new(strategy, Arc::clone(group), *member))
            }
            None => strategy,
        };
        let shared = Arc::new(Shared {
            name,
            clock: Clock::start(epoch, options.wall_clock.clone(), follows_days),
            core: Mutex::new(Core::new(strategy, options.grace, options.max_hold)),
            membership,
            told: Told::default(),
        });
        if let Some(Membership { group, member }) = &shared.membership {
            group.introduce(*member, &shared);
        }
        Self { shared }
    }

    /// The name it is registered by: `provider/pool@tier`, and `#account` if there is one.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Waits until a request of this cost may be sent, and counts it as sent.
    ///
    /// Send it right away: the provider is taken to count it within
    /// [`max_skew`](crate::schedule::Timing::max_skew) from now. To do something slow in between,
    /// use [`reserve`](Self::reserve).
    ///
    /// # Errors
    ///
    /// [`RateLimitError::WaitTooLong`] after 300 s, or at once if it is known to take longer;
    /// [`RateLimitError::RequestTooLarge`] if a limit is smaller than the request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line and takes nothing.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a Tokio runtime with its timer enabled.
    pub async fn acquire(&self, cost: Cost) -> Result<Permit, RateLimitError> {
        self.acquire_within(DEFAULT_MAX_WAIT, cost).await
    }

    /// [`acquire`](Self::acquire) with another bound on the wait.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), with `max_wait` in place of 300 s.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line and takes nothing.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a Tokio runtime with its timer enabled.
    pub async fn acquire_within(
        &self,
        max_wait: Duration,
        cost: Cost,
    ) -> Result<Permit, RateLimitError> {
        self.reserve_within(max_wait, cost).await?.dispatch().await
    }

    /// A permit if the request may be sent this instant.
    ///
    /// Also `Err` if others wait for the same pool: nobody is passed.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::WaitTooLong`] with a `max_wait` of zero if it would have to wait;
    /// [`RateLimitError::RequestTooLarge`] if a limit is smaller than the request.
    pub fn try_acquire(&self, cost: Cost) -> Result<Permit, RateLimitError> {
        let mut place = self.place(Duration::ZERO);
        place.claim_now(&cost)?;
        place.dispatch_now(&cost)
    }

    /// Waits until a request of this cost may be sent, and keeps its place in the budget until it
    /// is [dispatched](Reservation::dispatch) or dropped.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line and takes nothing.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a Tokio runtime with its timer enabled.
    pub async fn reserve(&self, cost: Cost) -> Result<Reservation, RateLimitError> {
        self.reserve_within(DEFAULT_MAX_WAIT, cost).await
    }

    async fn reserve_within(
        &self,
        max_wait: Duration,
        cost: Cost,
    ) -> Result<Reservation, RateLimitError> {
        let mut place = self.place(max_wait);
        poll_fn(|cx| place.poll_grant(cx, Some(&cost))).await?;
        Ok(Reservation::new(place, cost))
    }

    /// Admits nobody for this long: what a provider's `Retry-After` asks for. At most
    /// [`max_hold`](PoolOptions::max_hold), and never shorter than a hold already in force.
    ///
    /// After it the requests that waited do not come all at once: the first goes alone, until it is
    /// answered or a second has passed, and the others are spaced evenly.
    pub fn hold(&self, pause: Duration) {
        self.shared.with(|core, now, out| {
            core.hold(now, pause);
            core.turn(now, out);
        });
    }

    pub(crate) fn time_of_day(&self) -> SystemTime {
        self.shared.clock.time_of_day()
    }

    /// The account at this moment.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        shared.with(|core, now, _| {
            let counters = core.counters;
            Stats {
                pool: shared.name.clone(),
                total_requests: counters.dispatched,
                scheduled_waits: counters.scheduled_waits,
                wait_timeouts: counters.wait_timeouts,
                too_large: counters.too_large,
                throttled: counters.throttled,
                granted: counters.granted,
                released: counters.released,
                lapsed: counters.lapsed,
                settled: counters.settled,
                abandoned: counters.abandoned,
                exhausted: counters.exhausted,
                usage_read: counters.usage_read,
                usage_missing: counters.usage_missing,
                usage_unreadable: counters.usage_unreadable,
                in_flight: counters.dispatched - counters.settled - counters.abandoned,
                reserved: core.reserved() as u64,
                waiting: core.waiting() as u64,
                hold: Some(core.hold_until().saturating_since(now))
                    .filter(|hold| *hold > Duration::ZERO),
                closed: core
                    .closed(now)
                    .map(|closed| closed.until.saturating_since(now)),
                limits: core
                    .status(now)
                    .into_iter()
                    .map(|status| LimitStats::new(status, now))
                    .collect(),
            }
        })
    }

    /// When a request of this cost would be admitted, behind those who wait now. It is an estimate: see
    /// [`Core::eta`].
    pub(crate) fn eta(&self, cost: &Cost) -> Eta {
        self.shared.with(|core, now, _| core.eta(now, cost))
    }

    pub(crate) fn place(&self, max_wait: Duration) -> Place {
        Place::new(Arc::clone(&self.shared), max_wait)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
