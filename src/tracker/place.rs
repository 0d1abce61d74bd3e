use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::{Attempt, Claim, ClaimTurn, Claimed, Late};
use super::driver::Driver;
use super::line::Ticket;
use super::permit::Permit;
use super::pool::Shared;
use super::primitives::Arc;
use crate::error::{Exhausted, LineFull, RateLimitError, RequestTooLarge, WaitTooLong};
use crate::provider::Refusal;
use crate::schedule::{Cost, Oversize, Timestamp};

/// One request's way from its wish to be sent to its dispatch.
///
/// It takes a ticket when it first asks and keeps it whatever happens: a grant that lapsed or did
/// not suffice is asked for again in the old order. Dropping it leaves the line, or gives back what
/// was granted.
pub(crate) struct Place {
    pool: Arc<Shared>,
    max_wait: Duration,
    /// When it gives up, however short it has waited.
    gives_up: Option<Timestamp>,
    /// It does not begin to wait where so many do.
    most_waiting: Option<usize>,
    /// Waited in earlier rounds. Only waiting counts, not the time a caller keeps a grant.
    waited: Duration,
    /// Whether it has ever been in line.
    has_waited: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Queued { ticket: Ticket, since: Timestamp },
    Granted { ticket: Ticket },
    Lost { ticket: Ticket },
}

/// What became of an attempt to send.
#[derive(Debug)]
pub(crate) enum Sending {
    /// It counts as sent from now on.
    Sent(Permit),
    /// It has to be granted again.
    Lost,
}

impl Place {
    pub(super) fn new(pool: Arc<Shared>, max_wait: Duration) -> Self {
        Self {
            pool,
            max_wait,
            gives_up: None,
            most_waiting: None,
            waited: Duration::ZERO,
            has_waited: false,
            state: State::New,
        }
    }

    /// Gives up when `left` has passed from now.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::WaitTooLong`] if nothing is left.
    pub(crate) fn within(mut self, left: Duration) -> Result<Self, RateLimitError> {
        self.max_wait = self.max_wait.min(self.waited.saturating_add(left));
        self.gives_up = Some(self.pool.now() + left);
        match left.is_zero() {
            true => Err(self.too_late(self.waited, Late::unexplained())),
            false => Ok(self),
        }
    }

    /// Refused rather than in line, if it would be behind so many.
    pub(crate) fn unless_behind(mut self, most_waiting: usize) -> Self {
        self.most_waiting = Some(most_waiting);
        self
    }

    /// Ready once it is granted, and until it is sent or found lost. Without a cost, what the
    /// pool's requests usually cost is granted.
    pub(crate) fn poll_grant(
        &mut self,
        cx: &mut Context<'_>,
        cost: Option<&Cost>,
    ) -> Poll<Result<(), RateLimitError>> {
        if let State::Granted { .. } = self.state {
            return Poll::Ready(Ok(()));
        }
        let claimed = self.claim(cost.copied(), cx.waker());
        if let Ok(false) = claimed {
            Driver::ensure(&self.pool);
            return Poll::Pending;
        }
        Poll::Ready(claimed.map(|_| ()))
    }

    /// Granted now or not at all.
    pub(super) fn claim_now(&mut self, cost: &Cost) -> Result<(), RateLimitError> {
        match self.claim(Some(*cost), Waker::noop())? {
            true => Ok(()),
            false => Err(self.too_late(Duration::ZERO, Late::unexplained())),
        }
    }

    /// Whether it was granted; if not, it is in line.
    fn claim(&mut self, cost: Option<Cost>, waker: &Waker) -> Result<bool, RateLimitError> {
        let (max_wait, waited, has_waited) = (self.max_wait, self.waited, self.has_waited);
        let (state, most_waiting) = (self.state, self.most_waiting);
        let gives_up = self.gives_up;
        let (ticket, since, now, claimed) = self.pool.with(|core, now, out| {
            let (ticket, since, turn) = match state {
                State::New => (core.issue_ticket(), now, ClaimTurn::Newcomer),
                State::Queued { ticket, since } => (ticket, since, ClaimTurn::Queued),
                State::Lost { ticket } | State::Granted { ticket } => {
                    (ticket, now, ClaimTurn::Again)
                }
            };
            let deadline = since + max_wait.saturating_sub(waited);
            let claim = Claim {
                ticket,
                cost,
                deadline: gives_up.map_or(deadline, |gives_up| gives_up.min(deadline)),
                turn,
                has_waited,
                most_waiting,
            };
            (ticket, since, now, core.claim(now, claim, waker, out))
        });
        let waited = now.saturating_since(since);
        match claimed {
            Claimed::Parked => {
                self.has_waited = true;
                self.state = State::Queued { ticket, since };
                Ok(false)
            }
            Claimed::Granted => {
                self.waited += waited;
                self.state = State::Granted { ticket };
                Ok(true)
            }
            Claimed::TooLarge(oversize) => {
                self.state = State::Lost { ticket };
                Err(self.too_large(oversize))
            }
            Claimed::LineFull(waiting) => {
                self.state = State::Lost { ticket };
                Err(RateLimitError::LineFull(Box::new(LineFull {
                    pool: self.pool.name().to_owned(),
                    waiting,
                })))
            }
            Claimed::TooLate(late) => {
                self.state = State::Lost { ticket };
                Err(self.too_late(self.waited + waited, late))
            }
            Claimed::Closed(refusal, asked_again_in) => {
                self.state = State::Lost { ticket };
                Err(RateLimitError::Exhausted(Box::new(Exhausted {
                    pool: self.pool.name().to_owned(),
                    refusal: Refusal::clone(&refusal),
                    asked_again_in,
                })))
            }
        }
    }

    /// Sends a granted request that costs `cost`, in place of what was granted.
    pub(crate) fn try_send(&mut self, cost: &Cost) -> Result<Sending, RateLimitError> {
        let State::Granted { ticket } = self.state else {
            return Ok(Sending::Lost);
        };
        let attempt = self
            .pool
            .with(|core, now, out| core.dispatch(now, ticket, cost, out));
        match attempt {
            Attempt::Sent(entry) => {
                self.state = State::New;
                Ok(Sending::Sent(Permit::new(Arc::clone(&self.pool), entry)))
            }
            Attempt::Lost => {
                self.state = State::Lost { ticket };
                Ok(Sending::Lost)
            }
            Attempt::TooLarge(oversize) => {
                self.state = State::Lost { ticket };
                Err(self.too_large(oversize))
            }
        }
    }

    /// Sent now or not at all.
    pub(super) fn dispatch_now(mut self, cost: &Cost) -> Result<Permit, RateLimitError> {
        match self.try_send(cost)? {
            Sending::Sent(permit) => Ok(permit),
            Sending::Lost => Err(self.too_late(Duration::ZERO, Late::unexplained())),
        }
    }

    fn too_large(&self, oversize: Oversize) -> RateLimitError {
        RateLimitError::RequestTooLarge(Box::new(RequestTooLarge::new(self.pool.name(), oversize)))
    }

    fn too_late(&self, waited: Duration, late: Late) -> RateLimitError {
        RateLimitError::WaitTooLong(Box::new(WaitTooLong {
            pool: self.pool.name().to_owned(),
            waited,
            max_wait: self.max_wait,
            remaining: late.remaining,
            cause: late.cause,
            ahead: late.ahead,
            used: late.used,
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let State::Queued { ticket, .. } | State::Granted { ticket } = self.state {
            self.pool
                .with(|core, now, out| core.withdraw(now, ticket, out));
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("pool", &self.pool.name())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
