use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use http_body::Body;

use crate::body::ResponseBody;
use crate::error::RateLimitError;
use crate::peek;
use crate::provider::{
    self, Counting, Endpoint, Feedback, Provider, RequestFacts, TokenEstimate, Tokenizer,
    UsageHeader,
};
use crate::refused::Refused;
use crate::schedule::Cost;
use crate::tier::{Charge, Tier};
use crate::tracker::{Permit, Place, Pool};
use crate::usage::{UsagePath, UsageReader};

/// What a request costs before it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    pub(crate) cost: Cost,
    /// The tokens that it needs of a context window, as far as can be seen.
    pub(crate) context: u64,
    pub(crate) answer: Answer,
}

/// How to read the answer to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) provider: &'static dyn Provider,
    usage_paths: &'static [UsagePath],
    counting: Counting,
    /// The usage in the response, if any, is that of this request.
    is_metered: bool,
}

/// What becomes of a response when its head is here.
pub(crate) enum Answered<B: Body> {
    /// It is handed on.
    Whole(Response<ResponseBody<B>>),
    /// It is looked at first.
    Refused(Box<Refused<B>>),
}

/// What a service, its futures and its bodies have in common.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Why there is none is told to every caller: `poll_ready` cannot say it.
    pool: Result<Pool, RateLimitError>,
    /// That of the tier. `None`: its name says nothing, so every request is looked at.
    provider: Option<&'static dyn Provider>,
    provider_name: String,
    model: String,
    context_window: Option<u64>,
    charge: Charge,
    assumed_output_tokens: u64,
    tokenizer: Option<Arc<dyn Tokenizer>>,
    max_wait: Duration,
}

impl Limiter {
    pub(crate) fn new(
        tier: &Tier,
        pool: Result<Pool, RateLimitError>,
        tokenizer: Option<Arc<dyn Tokenizer>>,
        max_wait: Duration,
    ) -> Self {
        Self {
            pool,
            provider: provider::built_in(tier.provider()),
            provider_name: tier.provider().to_owned(),
            model: tier.model().to_owned(),
            context_window: tier.context_window(),
            charge: tier.charge(),
            assumed_output_tokens: tier.assumed_output_tokens(),
            tokenizer,
            max_wait,
        }
    }

    pub(crate) fn pool(&self) -> Result<&Pool, RateLimitError> {
        self.pool.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn place(&self) -> Result<Place, RateLimitError> {
        self.pool().map(|pool| pool.place(self.max_wait))
    }

    pub(crate) fn provider_name(&self) -> &str {
        &self.provider_name
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn context_window(&self) -> Option<u64> {
        self.context_window
    }

    /// What to reserve for a request, and how to read its response.
    pub(crate) fn price<B>(&self, request: &Request<B>) -> Price
    where
        B: Body + 'static,
    {
        let provider = provider::chosen_or_detected(self.provider, request.uri());
        let tokenizer = self.tokenizer.as_deref();
        let mut facts = peek::facts(provider, request, self.assumed_output_tokens, tokenizer);
        let context = context(&facts, tokenizer);
        let model = facts.model.get_or_insert_with(|| self.model.clone());
        let answer = Answer {
            provider,
            usage_paths: provider.usage_paths_of(request.uri().path()),
            counting: provider.counting(Some(model), self.charge),
            is_metered: facts.endpoint != Endpoint::Lookup,
        };
        // Of a body that nobody saw, the cap is not known.
        if facts.text_tokens.is_some() {
            let least = provider.uncapped_output(Some(model)).unwrap_or(0);
            facts.assumed_output_tokens = facts.assumed_output_tokens.max(least);
        }
        Price {
            cost: provider.price(&facts, self.charge),
            context,
            answer,
        }
    }

    /// The head of a response is here.
    pub(crate) fn answered<B>(
        &self,
        mut permit: Permit,
        answer: Answer,
        response: Response<B>,
    ) -> Answered<B>
    where
        B: Body,
    {
        let status = response.status();
        let now = self
            .pool
            .as_ref()
            .map_or_else(|_| SystemTime::now(), Pool::time_of_day);
        let feedback = answer.provider.feedback(status, response.headers(), now);
        if status == StatusCode::TOO_MANY_REQUESTS {
            // Before the answer is taken for a sign that the provider is good again.
            permit.hesitate(Refused::<B>::PATIENCE);
        }
        permit.answered_with(&feedback.limits);
        if feedback.throttled || Refused::<B>::is_one(status) {
            let refused = Refused::new(answer.provider, permit, feedback, response);
            return Answered::Refused(Box::new(refused));
        }
        Answered::Whole(self.metered(permit, answer, &feedback, response))
    }

    fn metered<B>(
        &self,
        permit: Permit,
        answer: Answer,
        feedback: &Feedback,
        response: Response<B>,
    ) -> Response<ResponseBody<B>>
    where
        B: Body,
    {
        let status = response.status();
        if asks_to_pause(status) {
            if let (Ok(pool), Some(pause)) = (&self.pool, feedback.retry_after) {
                pool.hold(pause);
            }
        }
        if !answer.is_metered || status.is_client_error() || status.is_server_error() {
            // At once, not at the body's end: whoever retries may keep the failed response for as
            // long as it backs off. What it cost is not known, so it counts in full.
            let reserved = permit.reserved();
            permit.settle(reserved);
            return response.map(ResponseBody::unmetered);
        }
        let headers = response.headers();
        let told = UsageHeader::read(answer.provider.usage_headers(), headers);
        let reader = UsageReader::new(answer.usage_paths, headers).beginning_with(told);
        response.map(|body| {
            ResponseBody::metered(body, permit, reader, answer.counting, answer.provider)
        })
    }
}

/// Those of its text, a quarter of its bytes unless they are counted or the caller knows, and its cap on
/// the answer.
fn context(facts: &RequestFacts, tokenizer: Option<&dyn Tokenizer>) -> u64 {
    if facts.endpoint == Endpoint::Lookup {
        return 0;
    }
    if let Some(TokenEstimate { input, output, .. }) = facts.estimate {
        return input.saturating_add(output);
    }
    let counts = |model: &str| tokenizer.is_some_and(|tokenizer| tokenizer.knows(model));
    let is_counted = facts.model.as_deref().is_some_and(counts);
    let counted = facts.text_tokens.filter(|_| is_counted);
    let input = counted.unwrap_or(facts.text_bytes.div_ceil(4));
    input.saturating_add(facts.max_output_tokens.unwrap_or(0))
}

/// Whether a `Retry-After` concerns everybody. Beside other failures it says nothing: a request that
/// is too large stays so (Groq sends one with 413, as measured 2026-08-18).
fn asks_to_pause(status: StatusCode) -> bool {
    const OVERLOADED: u16 = 529;
    status == StatusCode::SERVICE_UNAVAILABLE || status.as_u16() == OVERLOADED
}
