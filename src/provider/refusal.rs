use std::time::Duration;

use crate::tier::Meter;

/// Why a provider refused a request, as far as its answer says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of refusal it is.
    pub cause: RefusalCause,
    /// The provider's own code for it, such as `insufficient_quota`.
    pub code: Option<String>,
    /// How long to wait, where the body says so.
    pub retry_after: Option<Duration>,
    /// What the limit it names counts.
    pub meter: Option<Meter>,
    /// The number of that limit.
    pub limit: Option<u64>,
    /// What of it was used.
    pub used: Option<u64>,
    /// What the request would have used.
    pub requested: Option<u64>,
}

/// What a refusal is about, and so whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCause {
    /// A rate limit. It frees by itself.
    RateLimit,
    /// The provider has no capacity for anybody right now. It will have some again.
    Capacity,
    /// This request exceeds a limit by itself. Smaller ones are not concerned.
    TooLarge,
    /// Credit is used up or a spending cap is reached. Nothing passes until the account changes.
    Exhausted,
    /// The account may not use this at all: its limit is zero.
    NotAllowed,
}

impl RefusalCause {
    /// Whether the same request can succeed later without anybody doing something about it.
    pub const fn waiting_helps(self) -> bool {
        matches!(self, Self::RateLimit | Self::Capacity)
    }
}

impl Refusal {
    /// A refusal of which nothing is known but its cause.
    pub const fn of(cause: RefusalCause) -> Self {
        Self {
            cause,
            code: None,
            retry_after: None,
            meter: None,
            limit: None,
            used: None,
            requested: None,
        }
    }
}
