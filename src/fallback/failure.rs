use http::Response;

use crate::error::{BoxError, RateLimitError};
use crate::provider::{Refusal, RefusalCause};

/// Why another model is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The model is not to be had now, or not for a request of this size.
    RateLimit,
    /// The account is not to be used.
    Quota,
    /// The prompt is too long for the model.
    Context,
}

impl Failure {
    /// `None`: this is the answer, good or bad.
    pub(super) fn of<R>(result: &Result<Response<R>, BoxError>) -> Option<Self> {
        match result {
            Ok(response) => Self::answered(response),
            Err(error) => Self::refused(error.downcast_ref()?),
        }
    }

    fn answered<R>(response: &Response<R>) -> Option<Self> {
        const OVERLOADED: u16 = 529;
        if let Some(refusal) = response.extensions().get::<Refusal>() {
            return Some(match refusal.cause {
                RefusalCause::RateLimit | RefusalCause::Capacity | RefusalCause::TooLarge => {
                    Self::RateLimit
                }
                RefusalCause::Exhausted | RefusalCause::NotAllowed => Self::Quota,
                RefusalCause::ContextLength => Self::Context,
            });
        }
        let throttles = matches!(response.status().as_u16(), 429 | 503 | OVERLOADED);
        throttles.then_some(Self::RateLimit)
    }

    fn refused(error: &RateLimitError) -> Option<Self> {
        match error {
            RateLimitError::WaitTooLong(_)
            | RateLimitError::RequestTooLarge(_)
            | RateLimitError::LineFull(_) => Some(Self::RateLimit),
            RateLimitError::Exhausted(_) => Some(Self::Quota),
            RateLimitError::ConflictingPool(_) | RateLimitError::UnknownModel(_) => None,
        }
    }
}
