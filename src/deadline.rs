use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

/// The time by which a request is to be sent, or not at all.
///
/// Put into a request's extensions, it bounds the wait for its admission beside
/// [`max_wait`](crate::ProactiveRateLimitLayer::max_wait), whichever is sooner. A request that
/// certainly cannot be admitted by then is refused at once, with
/// [`RateLimitError::WaitTooLong`](crate::RateLimitError::WaitTooLong); so is one that is called later
/// than that, and any other when the time has come.
///
/// It says nothing of how long the answer may take. To bound a request as a whole, put a time-out
/// around the whole of it: see [the crate's documentation](crate#time-outs).
///
/// ```
/// use std::time::Duration;
/// use proactive_rate_limit::Deadline;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), http::Error> {
/// let mut request = http::Request::post("https://api.openai.com/v1/responses").body(())?;
/// request.extensions_mut().insert(Deadline::within(Duration::from_secs(2)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// At this time, by Tokio's clock.
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// So long from now. Beyond what the clock can tell, it is a year away.
    pub fn within(wait: Duration) -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        let now = Instant::now();
        Self(now.checked_add(wait).unwrap_or(now + YEAR))
    }

    /// How much is left until the one in `extensions`, if there is one.
    pub(crate) fn left(extensions: &Extensions) -> Option<Duration> {
        let deadline = extensions.get::<Self>()?;
        Some(deadline.0.saturating_duration_since(Instant::now()))
    }

    /// When it is.
    pub const fn instant(self) -> Instant {
        self.0
    }
}
