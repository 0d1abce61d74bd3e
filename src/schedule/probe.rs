use std::time::Duration;

use super::Timestamp;

/// Sends requests one at a time while it is not known how the pool stands.
///
/// The answer to the one that was sent, the *probe*, will tell. Nobody waits for it for longer than
/// its patience: its caller may have gone, or the provider be slow.
#[derive(Debug, Default)]
pub(super) struct Probe {
    under_way_until: Option<Timestamp>,
    /// When the provider's last pause ends. Until something is answered that was sent after that,
    /// the next refusal may be one request away.
    cautious_since: Option<Timestamp>,
}

/// Why the next request is a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// What the limits are.
    Limits,
    /// What somebody else uses on the same key.
    Others,
    /// Whether the provider still refuses.
    Mood,
}

impl Unknown {
    fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Limits => 60,
            Self::Others => 5,
            Self::Mood => 1,
        })
    }
}

impl Probe {
    /// Whether a provider's pause has not been followed by a good answer yet.
    pub(super) fn is_cautious(&self) -> bool {
        self.cautious_since.is_some()
    }

    /// The provider asked for a pause until then.
    pub(super) fn pause(&mut self, until: Timestamp) {
        self.cautious_since = self.cautious_since.max(Some(until));
    }

    /// Until when to wait for the one that is under way.
    pub(super) fn awaited(&self, now: Timestamp) -> Option<Timestamp> {
        self.under_way_until.filter(|until| *until > now)
    }

    pub(super) fn send(&mut self, now: Timestamp, unknown: Unknown) {
        self.under_way_until = Some(now + unknown.patience());
    }

    /// The one under way has come to an end, whichever.
    pub(super) fn end(&mut self) {
        self.under_way_until = None;
    }

    /// A request that was sent at `sent` was answered.
    pub(super) fn answered(&mut self, sent: Timestamp) {
        if self.cautious_since.is_some_and(|since| since <= sent) {
            self.cautious_since = None;
        }
    }
}
