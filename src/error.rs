use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::provider::{Refusal, RefusalCause};
use crate::schedule::{Cause, Oversize};
use crate::tier::Limit;

/// The error type of the services here: either a [`RateLimitError`] or the inner service's own
/// error, unchanged.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request was not sent.
///
/// A service answers with it from `call`, never from `poll_ready`: an error there would mean that
/// the service is dead. It comes boxed as [`BoxError`]:
///
/// ```
/// use proactive_rate_limit::{BoxError, RateLimitError};
///
/// fn was_refused_here(error: &BoxError) -> bool {
///     error.downcast_ref::<RateLimitError>().is_some()
/// }
/// # let _ = was_refused_here;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitError {
    /// It would have to wait, or has waited, for longer than it may.
    WaitTooLong(Box<WaitTooLong>),
    /// It needs more than a limit ever admits.
    RequestTooLarge(Box<RequestTooLarge>),
    /// The provider refuses everything until somebody does something about it: credit is used up, a
    /// spending cap is reached, or the account may not use the model at all.
    Exhausted(Box<Exhausted>),
    /// The pool is in use with other limits or options.
    ConflictingPool(Box<ConflictingPool>),
    /// As many requests as may wait for the pool do so already.
    LineFull(Box<LineFull>),
    /// No budget is for the model that it names.
    UnknownModel(Box<UnknownModel>),
}

/// The numbers of a [`RateLimitError::WaitTooLong`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitTooLong {
    /// The pool it waited for.
    pub pool: String,
    /// How long it has waited. Zero if it was refused at once.
    pub waited: Duration,
    /// The longest it may wait.
    pub max_wait: Duration,
    /// How much longer it would have to wait at least, as far as that is known.
    pub remaining: Option<Duration>,
    /// What it waits for.
    pub cause: Cause,
    /// How many came before it and still wait.
    pub ahead: usize,
    /// Units counted now against the limit that makes it wait, if it is a limit.
    pub used: Option<u64>,
}

/// The numbers of a [`RateLimitError::RequestTooLarge`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestTooLarge {
    /// The pool it was meant for.
    pub pool: String,
    /// The limit it exceeds.
    pub limit: Limit,
    /// The most that limit admits.
    pub effective: u64,
    /// What the request needs, in the limit's units.
    pub requested: u64,
}

impl RequestTooLarge {
    pub(crate) fn new(pool: &str, oversize: Oversize) -> Self {
        Self {
            pool: pool.to_owned(),
            limit: oversize.limit,
            effective: oversize.effective,
            requested: oversize.requested,
        }
    }
}

/// What a [`RateLimitError::Exhausted`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exhausted {
    /// The pool it was meant for.
    pub pool: String,
    /// What the provider said.
    pub refusal: Refusal,
    /// In how long a request will be let through to ask again.
    pub asked_again_in: Duration,
}

/// What a [`RateLimitError::ConflictingPool`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictingPool {
    /// The pool both ask for.
    pub pool: String,
    /// How it was registered first.
    pub registered: String,
    /// What was asked for now.
    pub requested: String,
}

/// The numbers of a [`RateLimitError::LineFull`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineFull {
    /// The pool it was meant for.
    pub pool: String,
    /// How many wait for it.
    pub waiting: usize,
}

/// What a [`RateLimitError::UnknownModel`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownModel {
    /// The model, if the request names one.
    pub model: Option<String>,
}

impl fmt::Display for RateLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitTooLong(error) => error.fmt(f),
            Self::RequestTooLarge(error) => error.fmt(f),
            Self::Exhausted(error) => error.fmt(f),
            Self::ConflictingPool(error) => error.fmt(f),
            Self::LineFull(error) => error.fmt(f),
            Self::UnknownModel(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for WaitTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: may wait {:?}, has waited {:?}",
            self.pool, self.max_wait, self.waited
        )?;
        if let Some(remaining) = self.remaining {
            write!(f, " and needs at least {remaining:?} more")?;
        }
        write!(f, ", for {}", self.cause)?;
        if let Some(used) = self.used {
            write!(f, " ({used} used)")?;
        }
        match self.ahead {
            0 => Ok(()),
            ahead => write!(f, ", with {ahead} ahead"),
        }
    }
}

impl fmt::Display for RequestTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the request needs {} {}, and of {} at most {} are used at once",
            self.pool,
            self.requested,
            self.limit.meter(),
            self.limit,
            self.effective
        )
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.refusal.cause {
            RefusalCause::NotAllowed => "the account may not use this",
            _ => "the account is exhausted",
        };
        write!(f, "{}: the provider says that {why}", self.pool)?;
        if let Some(code) = &self.refusal.code {
            write!(f, " ({code})")?;
        }
        write!(f, "; it is asked again in {:?}", self.asked_again_in)
    }
}

impl fmt::Display for ConflictingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is already in use with other settings: registered as [{}], now asked for as [{}]",
            self.pool, self.registered, self.requested
        )
    }
}

impl fmt::Display for LineFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} wait already, and no more may",
            self.pool, self.waiting
        )
    }
}

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "no budget is for the model {model:?}"),
            None => f.write_str("the request names no model, and no budget is for those"),
        }
    }
}

impl Error for RateLimitError {}
