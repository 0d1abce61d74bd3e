use std::time::Duration;

/// From when a sent request's window runs.
///
/// A server counts a request some time after it was sent. Counting from the sending lets two
/// requests sent 60.01 s apart arrive 59.5 s apart, so a request keeps counting until it has
/// certainly left the server's window too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Anchor {
    /// From its response head, or from [`max_skew`](Timing::max_skew) after its dispatch if that is
    /// earlier.
    #[default]
    Bounded,
    /// From its response head, however late. Needs no bound on the network, at the price of
    /// W/(W + time to the head) of the quota.
    Answer,
}

/// How long after what we see the server may still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timing {
    /// From when a sent request's window runs.
    pub anchor: Anchor,
    /// The longest time from a dispatch until the server has counted the request: connecting and
    /// queueing for a connection included. Default 500 ms.
    pub max_skew: Duration,
    /// The longest time from the end of a body until the server has counted what it charges at the
    /// end, and until it no longer counts the request as running. Default 100 ms.
    pub settle_skew: Duration,
    /// How long a provider may go on generating, and charging, after its client dropped the body.
    /// Default 60 s.
    pub max_generation: Duration,
    /// How far the provider's clock and this machine's may be apart, for limits per calendar day.
    /// Default 2 s.
    pub clock_skew: Duration,
    /// With [`Anchor::Answer`], how long after a request ended without a head the server may still
    /// count it. Default 60 s.
    pub max_unanswered: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            anchor: Anchor::Bounded,
            max_skew: Duration::from_millis(500),
            settle_skew: Duration::from_millis(100),
            max_generation: Duration::from_secs(60),
            clock_skew: Duration::from_secs(2),
            max_unanswered: Duration::from_secs(60),
        }
    }
}
