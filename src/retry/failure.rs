use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::iter;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Response};

use crate::error::{BoxError, RateLimitError};
use crate::provider::{Provider, Refusal, RefusalCause};

/// The providers' own clients obey it (openai 3.54, anthropic 2.12, read 2026-11-23).
static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A failed attempt after which another can succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// How long the provider asks to wait.
    asked: Option<Duration>,
    /// The window of the limit that it names.
    window: Option<Duration>,
}

impl Failure {
    /// Reads an answer. `None`: it is none of these.
    pub(super) fn answered<R>(provider: &dyn Provider, response: &Response<R>) -> Option<Self> {
        let (status, headers) = (response.status(), response.headers());
        if !status.is_client_error() && !status.is_server_error() {
            return None;
        }
        let refusal = match response.extensions().get::<Refusal>() {
            Some(refusal) => Some(Cow::Borrowed(refusal)),
            None => provider.refusal(status, headers, &[]).map(Cow::Owned),
        };
        let helps = refusal.as_ref().map(|refusal| refusal.cause);
        let helps = helps.map(RefusalCause::waiting_helps);
        match (helps, should_retry(headers)) {
            (Some(false), _) | (_, Some(false)) | (None, None) => return None,
            (Some(true), _) | (None, Some(true)) => {}
        }
        let feedback = || provider.feedback(status, headers, SystemTime::now());
        Some(Self {
            asked: refusal
                .as_ref()
                .and_then(|refusal| refusal.retry_after)
                .or_else(|| feedback().retry_after),
            window: refusal.and_then(|refusal| refusal.window),
        })
    }

    /// Reads an error in place of an answer. `never_sent` is asked of it and of all its sources.
    pub(super) fn on_the_way(
        error: &BoxError,
        never_sent: impl Fn(&(dyn Error + 'static)) -> bool,
    ) -> Option<Self> {
        if chain(error).any(|error| error.is::<RateLimitError>()) {
            return None;
        }
        chain(error).any(never_sent).then(Self::default)
    }

    /// How long to wait at least, for somebody who waits for `patience` at most. A limit of a longer
    /// window does not free sooner unless it says so.
    pub(super) fn asked(self, patience: Duration) -> Option<Duration> {
        self.asked
            .or_else(|| self.window.filter(|window| *window > patience))
    }
}

/// Whether this is a connection that nobody accepted. All else may happen after a request was sent.
pub(super) fn is_connection_refused(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get(&SHOULD_RETRY)?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn chain<'a>(error: &'a BoxError) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: &'a (dyn Error + 'static) = &**error;
    iter::successors(Some(first), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::provider;

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("could not connect")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let response = Response::builder().status(status);
        let response = headers.iter().fold(response, |response, (name, value)| {
            response.header(*name, *value)
        });
        response.body(()).unwrap()
    }

    fn asked(provider: &str, status: u16, headers: &[(&str, &str)]) -> Option<Option<u64>> {
        Failure::answered(provider::by_name(provider), &response(status, headers))
            .map(|failure| failure.asked.map(|asked| asked.as_secs()))
    }

    #[test]
    fn reads_heads() {
        type Case = (&'static str, u16, &'static [(&'static str, &'static str)]);
        let cases: [(Case, Option<Option<u64>>); 15] = [
            (("openai", 200, &[("retry-after", "9")]), None),
            (("openai", 307, &[("retry-after", "9")]), None),
            (("openai", 429, &[]), Some(None)),
            (("openai", 429, &[("retry-after", "9")]), Some(Some(9))),
            (
                ("openai", 503, &[("retry-after-ms", "9000")]),
                Some(Some(9)),
            ),
            (("anthropic", 529, &[]), Some(None)),
            // Groq's own for an overload, nobody else's.
            (("groq", 498, &[]), Some(None)),
            (("openai", 498, &[]), None),
            (("openai", 402, &[("retry-after", "9")]), None),
            (("openai", 413, &[("retry-after", "9")]), None),
            (("openai", 500, &[("retry-after", "9")]), None),
            (("openai", 500, &[("x-should-retry", "true")]), Some(None)),
            (("openai", 429, &[("x-should-retry", "false")]), None),
            (("openai", 413, &[("x-should-retry", "true")]), None),
            (("openai", 500, &[("x-should-retry", "perhaps")]), None),
        ];
        for ((provider, status, headers), expected) in cases {
            let found = asked(provider, status, headers);
            assert_eq!(found, expected, "{provider}, {status}, {headers:?}");
        }
    }

    #[test]
    fn believes_what_the_body_said_over_the_head() {
        let mut refused = response(429, &[]);
        refused.extensions_mut().insert(Refusal {
            window: Some(Duration::from_secs(86_400)),
            ..Refusal::of(RefusalCause::RateLimit)
        });
        let openai = provider::by_name("openai");
        let failure = Failure::answered(openai, &refused).unwrap();
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        assert_eq!(failure.asked(minute), Some(day));
        assert_eq!(failure.asked(day), None);
        let told = Failure {
            asked: Some(Duration::from_secs(9)),
            ..failure
        };
        assert_eq!(told.asked(minute), Some(Duration::from_secs(9)));

        for cause in [
            RefusalCause::Exhausted,
            RefusalCause::NotAllowed,
            RefusalCause::TooLarge,
        ] {
            refused.extensions_mut().insert(Refusal::of(cause));
            assert_eq!(Failure::answered(openai, &refused), None, "{cause:?}");
        }
        // Of a status that says nothing.
        let mut refused = response(400, &[]);
        assert_eq!(Failure::answered(openai, &refused), None);
        let throttled = Refusal::of(RefusalCause::RateLimit);
        refused.extensions_mut().insert(throttled);
        assert!(Failure::answered(openai, &refused).is_some());
    }

    #[test]
    fn finds_what_went_wrong_at_any_depth() {
        let of_kind = |kind: io::ErrorKind| BoxError::from(io::Error::from(kind));
        let is_retried =
            |error: &BoxError| Failure::on_the_way(error, is_connection_refused).is_some();
        let refused = of_kind(io::ErrorKind::ConnectionRefused);
        assert!(is_retried(&refused));
        assert!(is_retried(&Wrapped(Wrapped(refused).into()).into()));
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::TimedOut,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert!(!is_retried(&of_kind(kind)), "{kind:?}");
        }
        let reset = of_kind(io::ErrorKind::ConnectionReset);
        assert!(Failure::on_the_way(&reset, |_| true).is_some());
    }
}
