use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::behaviour::{Behaviour, Draw};
use super::body::SimulatorBody;
use super::builder::{ChargedAt, Charging, SimulatorBuilder};
use super::clock::Clock;
use super::endpoint::{self, Answer, Endpoint, ErrorShape, EventStream, Fault, Prompt, Stream};
use super::exchange::Exchange;
use super::ledger::{Candidate, Decision, Ledger, Policy};
use super::rate_headers;
use super::report::Report;
use super::server::SimulatorServer;
use crate::tier::Charge;

const MAX_REQUEST_BODY: usize = 16 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A simulated provider. See the [module](super) for what it does.
///
/// Cheap to clone; all clones are one provider with one set of limits and one log.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

/// What the clones of a simulator, and every exchange with it, share.
pub(super) struct Shared {
    clock: Clock,
    policy: Policy,
    charging: Charging,
    behaviour: Behaviour,
    ledger: Mutex<Ledger>,
}

impl Simulator {
    /// Starts to configure a simulator.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::new()
    }

    pub(super) fn new(policy: Policy, charging: Charging, behaviour: Behaviour) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock: Clock::start(),
                policy,
                charging,
                behaviour,
                ledger: Mutex::new(Ledger::new(policy)),
            }),
        }
    }

    /// Answers one request.
    ///
    /// Nothing happens before the first poll, which is when the head of the request is received.
    /// Whatever goes wrong is an HTTP answer, as it is from a provider. A request whose body ends
    /// with an error never arrives: it is answered with 400, but neither counted nor logged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the body of the answer before its end, is a client that leaves. A
    /// request whose body was read arrives and counts all the same.
    ///
    /// # Panics
    ///
    /// If a latency is configured: outside of a tokio runtime, or in one without a timer.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<SimulatorBody>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut exchange = Exchange::open(self.shared.clone());
        let draw = self.shared.behaviour.draw(exchange.index());
        let (head, body) = request.into_parts();

        let endpoint = endpoint::find(head.uri.path());
        let body = match receive(body).await {
            Received::Whole(bytes) => Ok(bytes),
            Received::TooLarge => Err(Fault::too_large()),
            Received::BrokenOff => return error(Fault::broken_off(), endpoint, None, exchange),
        };
        let asked = match endpoint {
            Some(endpoint) => ask(endpoint, &head.method, body),
            None => Err(Fault::unknown_url(head.uri.path())),
        };

        let candidate = self.shared.candidate(&asked, &draw);
        let decision = exchange.arrive(candidate, draw.arrival_latency).await;

        if let Some(refusal) = &decision.refusal {
            let model = asked.as_ref().ok().map(|asked| &*asked.prompt.model);
            let fault = Fault::throttled(refusal, model, self.shared.policy.window);
            return error(fault, endpoint, Some(&decision), exchange);
        }
        let asked = match asked {
            Ok(asked) => asked,
            Err(fault) => return error(fault, endpoint, Some(&decision), exchange),
        };

        let head_at = decision.at.saturating_add(draw.answer_latency);
        if self.shared.clock.now() < head_at {
            self.shared.clock.sleep_until(head_at).await;
        }
        if draw.fails {
            error(Fault::failure(), endpoint, Some(&decision), exchange)
        } else {
            self.answer(asked, draw, head_at, &decision, exchange)
        }
    }

    /// Serves HTTP/1.1 on a byte stream, such as one end of `tokio::io::duplex`, until it closes.
    ///
    /// # Errors
    ///
    /// When the connection fails, or what comes over it is not HTTP. A client that closes between
    /// requests is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts the connection, and with it the requests that are under way on it.
    ///
    /// # Panics
    ///
    /// As [`handle`](Self::handle) does.
    pub async fn serve_connection<I>(&self, io: I) -> io::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        self.connection(TokioIo::new(io))
            .await
            .map_err(io::Error::other)
    }

    pub(super) fn connection<I>(&self, io: I) -> http1::Connection<I, TowerToHyperService<Self>>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        http1::Builder::new().serve_connection(io, TowerToHyperService::new(self.clone()))
    }

    /// Serves HTTP/1.1 on a free port of `127.0.0.1`.
    ///
    /// Not for a paused clock: tokio moves it on while data is under way in a socket, where no task
    /// is busy. [`serve_connection`](Self::serve_connection) is for that.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or in one without I/O and a timer.
    pub async fn spawn(&self) -> io::Result<SimulatorServer> {
        SimulatorServer::spawn(self.clone()).await
    }

    /// What arrived up to now. Requests still under way to the limiter are not in it.
    pub fn report(&self) -> Report {
        let arrivals = {
            let mut ledger = self.shared.ledger();
            let now = self.shared.clock.now();
            ledger.arrivals(now)
        };
        // Read without the lock, so that a long log does not hold up the provider.
        Report::new(arrivals, &self.shared.policy)
    }

    fn answer(
        &self,
        asked: Asked,
        draw: Draw,
        head_at: Duration,
        decision: &Decision,
        exchange: Exchange,
    ) -> Response<SimulatorBody> {
        let stream = asked.stream();
        let Asked { endpoint, prompt } = asked;
        let (output_tokens, truncated) = self.shared.output(&prompt, &draw);
        let answer = Answer::new(
            exchange.index(),
            prompt,
            output_tokens,
            truncated,
            decision.at,
        );
        let Some(stream) = stream else {
            return json(
                StatusCode::OK,
                &endpoint.whole(&answer),
                Some(decision),
                exchange,
            );
        };
        let request_id = request_id(&exchange);
        let events = EventStream::new(stream, answer, head_at, draw.token_delays);
        let body = SimulatorBody::stream(events, exchange);
        let mut response = respond(StatusCode::OK, body, request_id, Some(decision));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

impl Shared {
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No operation leaves the ledger half done where it could panic.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tokens the answer has, and whether the request's cap cut it to that.
    fn output(&self, prompt: &Prompt, draw: &Draw) -> (u64, bool) {
        let limit = prompt.output.limit(self.behaviour.longest_answer());
        (draw.output_tokens.min(limit), draw.output_tokens > limit)
    }

    fn candidate(&self, asked: &Result<Asked, Fault>, draw: &Draw) -> Candidate {
        let (asked, prompt) = match asked {
            Ok(asked) => (asked, &asked.prompt),
            Err(fault) => {
                return Candidate {
                    status: fault.status,
                    input_tokens: 0,
                    output_tokens: 0,
                    required_tokens: 0,
                    charged_tokens: 0,
                    charged_after: Duration::ZERO,
                };
            }
        };
        let input_tokens = prompt.input_tokens;
        let (status, output_tokens, actual) = if draw.fails {
            (StatusCode::INTERNAL_SERVER_ERROR, 0, 0)
        } else {
            let (output_tokens, _) = self.output(prompt, draw);
            let actual = input_tokens.saturating_add(output_tokens);
            (StatusCode::OK, output_tokens, actual)
        };
        let Charging { charge, charged_at } = self.charging;
        let (required_tokens, charged_tokens, charged_after) = match (charge, charged_at) {
            (Charge::Reserved, _) => {
                let longest = prompt.output.limit(self.behaviour.longest_answer());
                let reserved = input_tokens.saturating_add(longest);
                (reserved, reserved, Duration::ZERO)
            }
            (Charge::Actual, ChargedAt::Arrival) => (actual, actual, Duration::ZERO),
            (Charge::Actual, ChargedAt::End) => {
                let generation = match asked.stream() {
                    Some(_) => draw.token_delays.total(output_tokens),
                    None => Duration::ZERO,
                };
                let until_end = draw.answer_latency.saturating_add(generation);
                (input_tokens, actual, until_end)
            }
        };
        Candidate {
            status,
            input_tokens,
            output_tokens,
            required_tokens,
            charged_tokens,
            charged_after,
        }
    }
}

/// A request that makes sense.
struct Asked {
    endpoint: &'static dyn Endpoint,
    prompt: Prompt,
}

impl Asked {
    /// How to stream the answer, if it is to be streamed and can be.
    fn stream(&self) -> Option<&'static dyn Stream> {
        self.endpoint.stream().filter(|_| self.prompt.stream)
    }
}

/// The body of a request.
enum Received {
    Whole(Bytes),
    TooLarge,
    /// It never arrived: there is nothing that a limiter could have counted.
    BrokenOff,
}

async fn receive<B>(body: B) -> Received
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, MAX_REQUEST_BODY).collect().await {
        Ok(collected) => Received::Whole(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Received::TooLarge,
        Err(_) => Received::BrokenOff,
    }
}

fn ask(
    endpoint: &'static dyn Endpoint,
    method: &Method,
    body: Result<Bytes, Fault>,
) -> Result<Asked, Fault> {
    if method != Method::POST {
        return Err(Fault::wrong_method(method));
    }
    let body: Value = serde_json::from_slice(&body?).map_err(|error| {
        Fault::bad_request(format!(
            "We could not parse the JSON body of your request: {error}"
        ))
    })?;
    let prompt = endpoint.read(&body).map_err(Fault::bad_request)?;
    Ok(Asked { endpoint, prompt })
}

fn error(
    fault: Fault,
    endpoint: Option<&'static dyn Endpoint>,
    decision: Option<&Decision>,
    exchange: Exchange,
) -> Response<SimulatorBody> {
    let shape = endpoint.map_or(ErrorShape::OpenAi, Endpoint::errors);
    let body = fault.to_json(shape, &request_id(&exchange));
    json(fault.status, &body, decision, exchange)
}

fn json(
    status: StatusCode,
    body: &Value,
    decision: Option<&Decision>,
    exchange: Exchange,
) -> Response<SimulatorBody> {
    let request_id = request_id(&exchange);
    let body = SimulatorBody::whole(body.to_string().into(), exchange);
    let mut response = respond(status, body, request_id, decision);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn respond(
    status: StatusCode,
    body: SimulatorBody,
    request_id: String,
    decision: Option<&Decision>,
) -> Response<SimulatorBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    if let Some(decision) = decision {
        rate_headers::insert(response.headers_mut(), decision);
    }
    response
}

fn request_id(exchange: &Exchange) -> String {
    format!("req_{}", exchange.index())
}

impl<B> Service<Request<B>> for Simulator
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<SimulatorBody>;
    type Error = Infallible;
    type Future = SimulatorFuture;

    /// Always ready: a provider refuses, it does not hold back.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> SimulatorFuture {
        let simulator = self.clone();
        SimulatorFuture {
            inner: Box::pin(async move { simulator.handle(request).await }),
        }
    }
}

/// The answer to a request of a [`Simulator`] called as a service. See [`Simulator::handle`].
#[must_use = "futures do nothing unless polled"]
pub struct SimulatorFuture {
    inner: Pin<Box<dyn Future<Output = Response<SimulatorBody>> + Send>>,
}

impl Future for SimulatorFuture {
    type Output = Result<Response<SimulatorBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("shared", &self.shared)
            .finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the ledger: it may hold a million arrivals.
        f.debug_struct("Shared")
            .field("clock", &self.clock)
            .field("policy", &self.policy)
            .field("charging", &self.charging)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatorFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorFuture").finish_non_exhaustive()
    }
}
