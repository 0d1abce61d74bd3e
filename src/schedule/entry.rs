use super::outputs::Boarding;
use super::{Cost, Timestamp};

/// One admitted request, from its reservation to its settlement.
///
/// It is handed from operation to operation by value: a strategy that returned one from
/// [`reserve`](super::SchedulingStrategy::reserve) gets it back exactly once, in
/// [`settle`](super::SchedulingStrategy::settle) or
/// [`release`](super::SchedulingStrategy::release). So it is neither `Clone` nor `Copy`.
#[derive(Debug)]
#[must_use = "an entry that is not settled or released counts for ever"]
pub struct Entry {
    pub(super) cost: Cost,
    pub(super) phase: Phase,
    /// When it was sent, once it was.
    pub(super) sent: Timestamp,
    /// What counted when it was dispatched, less all that had been granted until then: with what is
    /// granted by now, it bounds what the provider may have counted of ours when it answered.
    pub(super) mark: Cost,
    /// By when, on the wall's clock, the provider has counted it.
    pub(super) wall: Timestamp,
    /// Others wait for its answer.
    pub(super) is_probe: bool,
    /// In how many of the windows it counts: the first ones. Others were discovered after it was
    /// granted.
    pub(super) windows: usize,
    /// What it has in a second budget, if it is admitted by two.
    pub(crate) joined: Option<Box<Entry>>,
    /// Its answer is counted among others, from when it is sent until it has ended.
    pub(super) boarding: Option<Boarding>,
}

/// How far an [`Entry`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Granted, not sent. Counts without a time.
    Reserved,
    /// Sent, the response head is awaited.
    Dispatched {
        /// When it was sent.
        at: Timestamp,
    },
    /// The response head is here.
    Answered {
        /// From when its window runs.
        anchor: Timestamp,
    },
}

impl Entry {
    /// An entry that was just granted.
    pub const fn reserved(cost: Cost) -> Self {
        Self {
            cost,
            phase: Phase::Reserved,
            sent: Timestamp::ZERO,
            mark: Cost::ZERO,
            wall: Timestamp::ZERO,
            is_probe: false,
            windows: 0,
            joined: None,
            boarding: None,
        }
    }

    /// What is reserved for it.
    pub const fn cost(&self) -> &Cost {
        &self.cost
    }

    /// When it was sent; before that, the epoch.
    pub const fn sent(&self) -> Timestamp {
        self.sent
    }

    /// How far it has come.
    pub const fn phase(&self) -> Phase {
        self.phase
    }
}
