use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri};
use tower::retry::Policy;
use tower::retry::budget::Budget;

use super::back_off::BackOff;
use super::failure::{Failure, is_connection_refused};
use super::pause::Pause;
use crate::error::BoxError;
use crate::provider::{self, Provider};

type Test = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// Retries what waiting can fix, and then gives up. The [module](super) says what that is, when
/// attempts are made, and where in a stack it belongs.
///
/// Each request has attempts of its own; a clone shares the [budget](Self::budget).
///
/// Errors have to be [`BoxError`]s, as those of the layer are, and bodies [`Clone`]: `Full<Bytes>` is,
/// at no cost. A retry takes along the extensions of its request.
///
/// # Panics
///
/// When it has to wait outside a Tokio runtime with its timer enabled.
#[derive(Clone)]
pub struct RetryPolicy {
    back_off: BackOff,
    provider: Option<&'static dyn Provider>,
    budget: Option<Arc<dyn Budget + Send + Sync>>,
    never_sent: Arc<Test>,
    random: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Of this request, up to now.
    failures: u32,
}

impl RetryPolicy {
    /// Three retries, and the final attempt 90 s after the last failure.
    pub fn new() -> Self {
        Self {
            back_off: BackOff {
                max_retries: 3,
                first: Duration::from_secs(1),
                longest: Duration::from_secs(60),
                jitter: 0.5,
                final_after: Some(Duration::from_secs(90)),
                patience: Duration::from_secs(300),
            },
            provider: None,
            budget: None,
            never_sent: Arc::new(is_connection_refused),
            random: Arc::new(fastrand::f64),
            failures: 0,
        }
    }

    /// How many retries there are at most, before the final attempt. Default 3.
    #[must_use]
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.back_off.max_retries = max_retries;
        self
    }

    /// The wait before the first retry, and the longest that it is doubled to. Default 1 s and 60 s.
    ///
    /// A provider that asks for a longer wait gets it.
    #[must_use]
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        (self.back_off.first, self.back_off.longest) = (first, longest);
        self
    }

    /// The most to add to a wait at random, as a share of the policy's own back-off, from 0.0 to 1.0.
    /// Default 0.5. Of what a provider asks for nothing is taken away, and the final attempt is made
    /// without.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.back_off.jitter = share;
        self
    }

    /// What draws the jitter, a number from 0.0 to 1.0 for each retry: for tests. Default: a generator
    /// of the thread's own.
    #[must_use]
    pub fn random<F>(mut self, random: F) -> Self
    where
        F: Fn() -> f64 + Send + Sync + 'static,
    {
        self.random = Arc::new(random);
        self
    }

    /// How long after the last failure one final attempt is made. Default 90 s.
    #[must_use]
    pub fn final_attempt_after(mut self, wait: Duration) -> Self {
        self.back_off.final_after = Some(wait);
        self
    }

    /// Gives up after the last retry.
    #[must_use]
    pub fn without_final_attempt(mut self) -> Self {
        self.back_off.final_after = None;
        self
    }

    /// The longest wait that a provider may ask for. Default 300 s.
    ///
    /// A failure that asks for a longer one is passed on at once: somebody else may serve the request
    /// sooner.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.back_off.patience = patience;
        self
    }

    /// Whose dialect the answers are in. Default: as the request's host tells, else
    /// [`OpenAiCompatible`](crate::provider::OpenAiCompatible).
    #[must_use]
    pub fn provider(mut self, provider: &'static dyn Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Bounds retries of all requests together, those of clones included: each retry, and each final
    /// attempt, is withdrawn from it, and each success deposited. Default: none.
    ///
    /// A failure for which it has nothing left is passed on at once.
    #[must_use]
    pub fn budget<T>(mut self, budget: T) -> Self
    where
        T: Budget + Send + Sync + 'static,
    {
        self.budget = Some(Arc::new(budget));
        self
    }

    /// What errors tell that a request was never sent, so that it can be sent again without being
    /// charged for twice. Asked of an error, and then of each of its sources. Default: an
    /// [`io::Error`](std::io::Error) of kind
    /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused).
    ///
    /// hyper's client tells:
    ///
    /// ```
    /// use hyper_util::client::legacy;
    /// use proactive_rate_limit::retry::RetryPolicy;
    ///
    /// let policy = RetryPolicy::new().never_sent(|error| {
    ///     let error = error.downcast_ref::<legacy::Error>();
    ///     error.is_some_and(legacy::Error::is_connect)
    /// });
    /// # let _ = policy;
    /// ```
    #[must_use]
    pub fn never_sent<F>(mut self, test: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    {
        self.never_sent = Arc::new(test);
        self
    }

    fn provider_at(&self, uri: &Uri) -> &'static dyn Provider {
        provider::chosen_or_detected(self.provider, uri)
    }

    fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.withdraw())
    }

    fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, R> Policy<Request<B>, Response<R>, BoxError> for RetryPolicy
where
    B: Clone,
{
    type Future = Pause;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<R>, BoxError>,
    ) -> Option<Pause> {
        let failure = match result {
            Ok(response) => {
                if response.status().is_success() {
                    self.deposit();
                    return None;
                }
                Failure::answered(self.provider_at(request.uri()), response)
            }
            Err(error) => Failure::on_the_way(error, &*self.never_sent),
        };
        let asked = failure?.asked(self.back_off.patience);
        self.failures = self.failures.saturating_add(1);
        let wait = self.back_off.wait(self.failures, asked, &*self.random)?;
        self.withdraw().then(|| Pause::new(wait))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("back_off", &self.back_off)
            .field("provider", &self.provider)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
