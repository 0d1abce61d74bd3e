use std::fmt;

/// What a [`FaultyNetwork`](super::FaultyNetwork) can do to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The request fails with [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused). The
    /// provider never sees it.
    ConnectRefused,
    /// The request is held back before the provider sees it. A client that gives up meanwhile calls
    /// it back.
    ConnectDelay,
    /// The provider counts and answers the request; the client gets
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) in place of the head.
    AnswerLost,
    /// The head of the answer is held back.
    HeadDelay,
    /// The provider counts and answers the request; the client is told 500.
    ServerError,
    /// The same with 503.
    Unavailable,
    /// The same with 529, Anthropic's status for an overload.
    Overloaded,
    /// The same with 429, whatever the limits are.
    Throttled,
    /// The same with 307 to where the request went already, so that the provider counts it twice. A
    /// request is sent on once at most.
    Redirect,
    /// A 429 or 5xx loses its `Retry-After`, in seconds and in milliseconds.
    RetryAfterAbsent,
    /// Its `Retry-After` is 0.
    RetryAfterZero,
    /// Its `Retry-After` is 365 days, in seconds.
    RetryAfterYear,
    /// Its `Retry-After` is no number and no date, or a negative number.
    RetryAfterNonsense,
    /// It says how long to wait in `retry-after-ms` only.
    RetryAfterMillis,
    /// Its `Retry-After` is a date that has passed, seen from its `Date`.
    RetryAfterPastDate,
    /// Its `Retry-After` is a date to come, seen from its `Date`.
    RetryAfterFutureDate,
    /// Every header about rate limits comes twice: as it is, and with half of its number.
    DuplicateHeaders,
    /// Every header about rate limits becomes unreadable: negative, empty, a fraction, 10^30, not
    /// ASCII.
    MalformedHeaders,
    /// The body pauses on its way.
    BodyStall,
    /// The body stops on its way and never goes on, nor ends.
    BodyHang,
    /// The body fails on its way, with [`ConnectionReset`](std::io::ErrorKind::ConnectionReset).
    BodyCut,
    /// A stream of server-sent events with status 2xx ends early, with an error event in the
    /// provider's own shape: Anthropic's at `/v1/messages`, OpenAI's elsewhere.
    ErrorEvent,
    /// A kept-alive HTTP/1.1 connection closes some time after an answer, without notice. What is
    /// under way on it by then is cut. Only where [the network serves
    /// it](super::FaultyNetwork::serve_http1).
    CloseAfterAnswer,
}

/// Where on its way a request meets a fault. It meets one in each place at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connect,
    Head,
    Answer,
    RetryAfter,
    Headers,
    Body,
    Connection,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::ConnectRefused,
        Self::ConnectDelay,
        Self::AnswerLost,
        Self::HeadDelay,
        Self::ServerError,
        Self::Unavailable,
        Self::Overloaded,
        Self::Throttled,
        Self::Redirect,
        Self::RetryAfterAbsent,
        Self::RetryAfterZero,
        Self::RetryAfterYear,
        Self::RetryAfterNonsense,
        Self::RetryAfterMillis,
        Self::RetryAfterPastDate,
        Self::RetryAfterFutureDate,
        Self::DuplicateHeaders,
        Self::MalformedHeaders,
        Self::BodyStall,
        Self::BodyHang,
        Self::BodyCut,
        Self::ErrorEvent,
        Self::CloseAfterAnswer,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(super) const fn stage(self) -> Stage {
        match self {
            Self::ConnectRefused | Self::ConnectDelay => Stage::Connect,
            Self::AnswerLost | Self::HeadDelay => Stage::Head,
            Self::ServerError
            | Self::Unavailable
            | Self::Overloaded
            | Self::Throttled
            | Self::Redirect => Stage::Answer,
            Self::RetryAfterAbsent
            | Self::RetryAfterZero
            | Self::RetryAfterYear
            | Self::RetryAfterNonsense
            | Self::RetryAfterMillis
            | Self::RetryAfterPastDate
            | Self::RetryAfterFutureDate => Stage::RetryAfter,
            Self::DuplicateHeaders | Self::MalformedHeaders => Stage::Headers,
            Self::BodyStall | Self::BodyHang | Self::BodyCut | Self::ErrorEvent => Stage::Body,
            Self::CloseAfterAnswer => Stage::Connection,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectRefused => "connect refused",
            Self::ConnectDelay => "connect delay",
            Self::AnswerLost => "answer lost",
            Self::HeadDelay => "head delay",
            Self::ServerError => "500",
            Self::Unavailable => "503",
            Self::Overloaded => "529",
            Self::Throttled => "429",
            Self::Redirect => "redirect",
            Self::RetryAfterAbsent => "retry-after absent",
            Self::RetryAfterZero => "retry-after zero",
            Self::RetryAfterYear => "retry-after a year",
            Self::RetryAfterNonsense => "retry-after nonsense",
            Self::RetryAfterMillis => "retry-after in milliseconds",
            Self::RetryAfterPastDate => "retry-after a past date",
            Self::RetryAfterFutureDate => "retry-after a future date",
            Self::DuplicateHeaders => "duplicate headers",
            Self::MalformedHeaders => "malformed headers",
            Self::BodyStall => "body stall",
            Self::BodyHang => "body hang",
            Self::BodyCut => "body cut",
            Self::ErrorEvent => "error event",
            Self::CloseAfterAnswer => "close after answer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_listed_in_its_place() {
        for (index, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index, "{kind}");
        }
    }
}
