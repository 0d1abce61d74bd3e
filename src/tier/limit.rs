#[cfg(feature = "serde")]
mod serialized;

use std::fmt;
use std::time::Duration;

use super::{Meter, TierError, Zone};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far below the provider's number a [`Limit`] stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Margin {
    /// This many units of the meter.
    Units(u64),
    /// This share of the amount in percent, rounded up to whole units. 100 and more leave one unit.
    Percent(u8),
}

impl Margin {
    /// The default for every windowed limit: never reach N-1, stay at N-2.
    pub const DEFAULT: Self = Self::Units(2);

    pub(crate) fn units_of(self, amount: u64) -> u64 {
        match self {
            Self::Units(units) => units,
            Self::Percent(percent) => {
                let units = (u128::from(amount) * u128::from(percent)).div_ceil(100);
                u64::try_from(units).unwrap_or(u64::MAX)
            }
        }
    }
}

/// A number of units.
impl From<u64> for Margin {
    fn from(units: u64) -> Self {
        Self::Units(units)
    }
}

/// One rate limit of a provider: at most `amount` units of a [`Meter`] in any window of a length.
///
/// An unlimited meter has no limit at all; there is no special number for it.
///
/// ```
/// use proactive_rate_limit::{Limit, Margin};
///
/// let rpm = Limit::requests(500).per_minute();
/// assert_eq!(rpm.effective(), 498);
/// assert_eq!(rpm.to_string(), "500 requests per minute");
///
/// let tpm = Limit::tokens(200_000).per_minute().margin(Margin::Percent(5));
/// assert_eq!(tpm.effective(), 190_000);
///
/// // A margin never stops a small tier.
/// assert_eq!(Limit::requests(2).per_minute().effective(), 1);
/// ```
///
/// # Serialized form (feature `serde`)
///
/// `window_seconds` is a number of seconds, and absent for [`Meter::Concurrent`]. Fractions are exact to
/// the nanosecond below 24 days. `margin` may be left out for its default.
/// `reset_zone` is the IANA name of a time zone, for a limit per calendar day.
/// Reading refuses unknown fields and what [`TierBuilder::build`](super::TierBuilder::build) refuses.
///
/// ```
/// use proactive_rate_limit::Limit;
///
/// let rpm: Limit = serde_json::from_str(
///     r#"{ "meter": "requests", "amount": 500, "window_seconds": 60 }"#,
/// )?;
/// assert_eq!(rpm, Limit::requests(500).per_minute());
///
/// let in_flight: Limit = serde_json::from_str(r#"{ "meter": "concurrent", "amount": 8 }"#)?;
/// assert_eq!(in_flight, Limit::concurrent(8));
///
/// assert_eq!(
///     serde_json::to_string(&rpm)?,
///     r#"{"meter":"requests","amount":500,"window_seconds":60,"margin":{"units":2}}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        into = "serialized::SerializedLimit",
        try_from = "serialized::SerializedLimit"
    )
)]
pub struct Limit {
    meter: Meter,
    amount: u64,
    /// Zero for a limit on what is in flight, which no passing of time frees.
    window: Duration,
    /// Where the window is not any interval of its length, but a calendar day in this zone.
    reset_zone: Option<Zone>,
    margin: Margin,
}

/// An amount that still needs its window: see [`Limit::requests`] and its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "choose the window with `.per_minute()` or one of its siblings"]
pub struct LimitAmount {
    meter: Meter,
    amount: u64,
}

impl LimitAmount {
    /// Per second.
    pub const fn per_second(self) -> Limit {
        self.per(Duration::from_secs(1))
    }

    /// Per 60 seconds.
    pub const fn per_minute(self) -> Limit {
        self.per(MINUTE)
    }

    /// Per 24 hours, sliding: not a calendar day. What a sliding day allows a calendar day allows
    /// too, so this is the safe one where it is not known when a provider begins anew.
    pub const fn per_day(self) -> Limit {
        self.per(DAY)
    }

    /// Per calendar day: the count begins anew at midnight in this zone.
    pub const fn per_calendar_day(self, zone: Zone) -> Limit {
        let mut limit = self.per(DAY);
        limit.reset_zone = Some(zone);
        limit
    }

    /// Per `window`. A zero window is refused when the tier is built.
    pub const fn per(self, window: Duration) -> Limit {
        Limit {
            meter: self.meter,
            amount: self.amount,
            window,
            reset_zone: None,
            margin: Margin::DEFAULT,
        }
    }
}

impl Limit {
    /// A limit on the number of requests.
    pub const fn requests(amount: u64) -> LimitAmount {
        LimitAmount {
            meter: Meter::Requests,
            amount,
        }
    }

    /// A limit on input and output tokens together, as the provider adds them.
    pub const fn tokens(amount: u64) -> LimitAmount {
        LimitAmount {
            meter: Meter::Tokens,
            amount,
        }
    }

    /// A limit on the tokens of prompts.
    pub const fn input_tokens(amount: u64) -> LimitAmount {
        LimitAmount {
            meter: Meter::InputTokens,
            amount,
        }
    }

    /// A limit on generated tokens.
    pub const fn output_tokens(amount: u64) -> LimitAmount {
        LimitAmount {
            meter: Meter::OutputTokens,
            amount,
        }
    }

    /// A limit on requests in flight at once. Its default margin is zero.
    ///
    /// Best effort: the client sees a request end before or after the server does.
    pub const fn concurrent(amount: u64) -> Self {
        Self {
            meter: Meter::Concurrent,
            amount,
            window: Duration::ZERO,
            reset_zone: None,
            margin: Margin::Units(0),
        }
    }

    /// This limit with another margin.
    #[must_use]
    pub const fn margin(mut self, margin: Margin) -> Self {
        self.margin = margin;
        self
    }

    /// What is counted.
    pub const fn meter(&self) -> Meter {
        self.meter
    }

    /// The provider's number, in units of the meter.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The length of the window: of any interval that long, or of a calendar day. Zero for
    /// [`Meter::Concurrent`].
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// The time zone with whose days the count begins anew; `None` for a sliding window.
    pub const fn reset_zone(&self) -> Option<Zone> {
        self.reset_zone
    }

    /// This limit, of another amount.
    pub(crate) const fn of(mut self, amount: u64) -> Self {
        self.amount = amount;
        self
    }

    /// Refuses what can never let a request through.
    pub(super) fn check(&self) -> Result<(), TierError> {
        if self.amount == 0 {
            return Err(TierError::ZeroAmount { limit: *self });
        }
        if self.window.is_zero() && self.meter != Meter::Concurrent {
            return Err(TierError::ZeroWindow { limit: *self });
        }
        Ok(())
    }

    /// What this crate lets through: the amount less its margin, and at least one unit so that the
    /// smallest tier still moves.
    pub fn effective(&self) -> u64 {
        self.effective_of(self.amount)
    }

    /// [`effective`](Self::effective), had the provider granted `amount` instead.
    pub(crate) fn effective_of(&self, amount: u64) -> u64 {
        amount
            .saturating_sub(self.margin.units_of(amount))
            .max(1)
            .min(amount)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.meter)?;
        match self.window {
            Duration::ZERO => Ok(()),
            window if window == Duration::from_secs(1) => f.write_str(" per second"),
            MINUTE => f.write_str(" per minute"),
            DAY => f.write_str(" per day"),
            window => write!(f, " per {window:?}"),
        }?;
        match self.reset_zone {
            Some(zone) => write!(f, " in {zone}"),
            None => Ok(()),
        }
    }
}
