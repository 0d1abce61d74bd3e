use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kind::FaultKind;

/// What was injected up to now. Get one with [`FaultyNetwork::report`](super::FaultyNetwork::report).
///
/// A fault counts when it takes effect: one that was drawn for a request which it cannot happen to,
/// or that is given up before, does not. `Display` lists what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultReport {
    /// Requests that were made, whatever became of them.
    pub requests: u64,
    counts: [u64; FaultKind::ALL.len()],
}

impl FaultReport {
    /// How often this kind happened.
    pub fn count(&self, kind: FaultKind) -> u64 {
        self.counts[kind.index()]
    }

    /// How many faults happened in all. A request can meet several.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The kinds that never happened.
    pub fn missing(&self) -> impl Iterator<Item = FaultKind> + '_ {
        FaultKind::ALL
            .into_iter()
            .filter(|&kind| self.count(kind) == 0)
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults in {} requests", self.total(), self.requests)?;
        let mut separator = ": ";
        for kind in FaultKind::ALL {
            let count = self.count(kind);
            if count > 0 {
                write!(f, "{separator}{count} × {kind}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Counts what happens. Read without a lock: a report taken while requests are under way may
/// contain a fault of a request but not yet another.
#[derive(Debug)]
pub(super) struct Tally {
    requests: AtomicU64,
    counts: [AtomicU64; FaultKind::ALL.len()],
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            counts: [const { AtomicU64::new(0) }; FaultKind::ALL.len()],
        }
    }

    /// Registers a request, and numbers it.
    pub(super) fn request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count(&self, kind: FaultKind) {
        self.counts[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> FaultReport {
        FaultReport {
            requests: self.requests.load(Ordering::Relaxed),
            counts: std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_happened() {
        let tally = Tally::new();
        assert_eq!(tally.report().to_string(), "0 faults in 0 requests");

        assert_eq!((tally.request(), tally.request()), (0, 1));
        for kind in [FaultKind::BodyCut, FaultKind::Redirect, FaultKind::BodyCut] {
            tally.count(kind);
        }
        let report = tally.report();
        assert_eq!(
            report.to_string(),
            "3 faults in 2 requests: 1 × redirect, 2 × body cut"
        );
        assert_eq!(report.missing().count(), FaultKind::ALL.len() - 2);
    }
}
