use std::ops::RangeInclusive;
use std::time::Duration;

use super::kind::FaultKind;

/// Which faults happen, how often and how badly. The default has none.
///
/// Ranges include both ends, which may be given in either order; `x..=x` is a constant.
///
/// ```
/// use std::time::Duration;
///
/// use proactive_rate_limit::simulator::faults::{FaultKind, Faults};
///
/// let faults = Faults::new()
///     .inject_all(0.01)
///     .inject(FaultKind::BodyCut, 0.1)
///     .inject(FaultKind::BodyHang, 0.0)
///     .head_delay(Duration::ZERO..=Duration::from_secs(2))
///     .seed(7);
/// # let _ = faults;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a plan does nothing until a `FaultyNetwork` follows it"]
pub struct Faults {
    pub(super) rates: [f64; FaultKind::ALL.len()],
    pub(super) connect_delay: RangeInclusive<Duration>,
    pub(super) head_delay: RangeInclusive<Duration>,
    pub(super) stall: RangeInclusive<Duration>,
    pub(super) retry_after: RangeInclusive<Duration>,
    pub(super) close_delay: RangeInclusive<Duration>,
    pub(super) seed: u64,
}

impl Faults {
    /// A plan without faults.
    pub fn new() -> Self {
        Self {
            rates: [0.0; FaultKind::ALL.len()],
            connect_delay: Duration::ZERO..=Duration::from_millis(200),
            head_delay: Duration::ZERO..=Duration::from_secs(5),
            stall: Duration::from_secs(1)..=Duration::from_secs(30),
            retry_after: Duration::from_secs(1)..=Duration::from_secs(5),
            close_delay: Duration::ZERO..=Duration::from_millis(20),
            seed: 0,
        }
    }

    /// The share of requests that this kind strikes, from 0.0 (the default and the meaning of NaN)
    /// to 1.0.
    ///
    /// It is a share of those that it can happen to: only a refusal has a `Retry-After`, only a
    /// stream has events. Of the kinds that would strike a request in the same place (two on its
    /// body, say) one is picked, so high rates of several take from one another.
    pub fn inject(mut self, kind: FaultKind, rate: f64) -> Self {
        self.rates[kind.index()] = rate;
        self
    }

    /// [`inject`](Self::inject) for every kind. Some never end by themselves
    /// ([`FaultKind::BodyHang`]): clients need a timeout.
    pub fn inject_all(mut self, rate: f64) -> Self {
        self.rates.fill(rate);
        self
    }

    /// How long [`FaultKind::ConnectDelay`] takes. Up to 200 ms by default.
    ///
    /// With more than a client's [`max_skew`](crate::ProactiveRateLimitLayer::max_skew) in all, an
    /// assumption of the promise is broken.
    pub fn connect_delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.connect_delay = range;
        self
    }

    /// How long [`FaultKind::HeadDelay`] takes. Up to 5 s by default.
    pub fn head_delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.head_delay = range;
        self
    }

    /// How long [`FaultKind::BodyStall`] takes. 1 s to 30 s by default.
    pub fn stall(mut self, range: RangeInclusive<Duration>) -> Self {
        self.stall = range;
        self
    }

    /// The wait that injected refusals ask for, and those that are rewritten to milliseconds or to a
    /// date. 1 s to 5 s by default; rounded up to whole seconds where it is said in seconds or as a
    /// date.
    pub fn retry_after(mut self, range: RangeInclusive<Duration>) -> Self {
        self.retry_after = range;
        self
    }

    /// How long after an answer [`FaultKind::CloseAfterAnswer`] closes the connection. Up to 20 ms
    /// by default: sometimes before the client uses it again, sometimes after, sometimes just then.
    pub fn close_delay(mut self, range: RangeInclusive<Duration>) -> Self {
        self.close_delay = range;
        self
    }

    /// The seed of everything random. 0 by default: runs repeat unless told otherwise.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}
