use std::future::poll_fn;

use super::permit::Permit;
use super::place::{Place, Sending};
use crate::error::RateLimitError;
use crate::schedule::Cost;

/// Room for one request that is not sent yet. See [`Pool::reserve`](super::Pool::reserve).
///
/// While others wait, it is kept for a grace only (100 ms by default). One that lapsed is won again
/// by [`dispatch`](Self::dispatch), at its old place in line. Dropping it gives the room back.
#[derive(Debug)]
#[must_use = "a reservation that is dropped sends nothing"]
pub struct Reservation {
    place: Place,
    cost: Cost,
}

impl Reservation {
    pub(super) fn new(place: Place, cost: Cost) -> Self {
        Self { place, cost }
    }

    /// What is reserved.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// Counts the request as sent, as soon as the spacing between requests allows. Send it right
    /// away.
    ///
    /// # Errors
    ///
    /// [`RateLimitError::WaitTooLong`] if the reservation lapsed and could not be won again in
    /// time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the room back.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a Tokio runtime with its timer enabled.
    pub async fn dispatch(mut self) -> Result<Permit, RateLimitError> {
        loop {
            match self.place.try_send(&self.cost)? {
                Sending::Sent(permit) => return Ok(permit),
                Sending::Lost => {
                    poll_fn(|cx| self.place.poll_grant(cx, Some(&self.cost))).await?;
                }
            }
        }
    }
}
