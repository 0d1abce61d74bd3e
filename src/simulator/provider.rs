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
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::account::Account;
use super::behaviour::{Behaviour, Draw};
use super::body::SimulatorBody;
use super::builder::SimulatorBuilder;
use super::clock::{Clock, WallClock};
use super::endpoint::{
    self, Answer, Endpoint, ErrorShape, EventStream, Fault, Output, Prompt, Route, Stream,
};
use super::exchange::Exchange;
use super::ledger::{Candidate, Decision, Ledger, Refusal};
use super::rate_headers;
use super::report::Report;
use super::server::SimulatorServer;
use super::twin::{Dialect, Refused, TokenCharge, Told, Twin};
use crate::tier::Limit;

const MAX_REQUEST_BODY: usize = 16 * 1024 * 1024;

/// A simulated provider. See the [module](super) for what it does.
///
/// Cheap to clone; all clones are one provider with one set of limits and one log.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

/// What the clones of a simulator, and every exchange with it, share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) wall_clock: WallClock,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) charge: TokenCharge,
    pub(super) behaviour: Behaviour,
    /// The window of the report.
    pub(super) window: Duration,
    pub(super) ledger: Mutex<Ledger>,
}

impl Simulator {
    /// Starts to configure a simulator that enforces its limits by exact sliding logs and sounds
    /// like OpenAI.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::new()
    }

    /// Starts to configure a simulator that enforces, charges and tells as a real provider does.
    ///
    /// Its limits are yours to set: by [`requests`](SimulatorBuilder::requests) and
    /// [`tokens`](SimulatorBuilder::tokens) those per minute, by [`limit`](SimulatorBuilder::limit)
    /// any other.
    ///
    /// ```
    /// use proactive_rate_limit::Limit;
    /// use proactive_rate_limit::simulator::{Simulator, Twin};
    ///
    /// let anthropic = Simulator::twin(Twin::Anthropic)
    ///     .requests(50)
    ///     .limit(Limit::input_tokens(30_000).per_minute())
    ///     .limit(Limit::output_tokens(8_000).per_minute())
    ///     .build();
    /// # assert_eq!(anthropic.report().requests.limit, Some(50));
    /// ```
    pub fn twin(twin: Twin) -> SimulatorBuilder {
        SimulatorBuilder::of(twin)
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Lowers or raises a limit, from now on: that on the same meter and window, whatever its
    /// amount is. What is counted stays counted. Returns whether there is such a limit.
    ///
    /// The limit set by [`SimulatorBuilder::requests`] is `Limit::requests(n).per(window)`, with
    /// the [window](SimulatorBuilder::window) of the simulator; a limit that is enforced in several
    /// ways changes in all of them.
    ///
    /// ```
    /// use proactive_rate_limit::Limit;
    /// use proactive_rate_limit::simulator::Simulator;
    ///
    /// let provider = Simulator::builder().requests(500).build();
    /// assert!(provider.set_limit(&Limit::requests(100).per_minute()));
    /// assert!(!provider.set_limit(&Limit::requests(100).per_day()));
    /// assert_eq!(provider.report().requests.limit, Some(100));
    /// ```
    pub fn set_limit(&self, limit: &Limit) -> bool {
        let mut ledger = self.shared.ledger();
        let now = self.shared.clock.now();
        ledger.set_limit(now, limit)
    }

    /// Puts the account into another state, from now on.
    pub fn set_account(&self, account: Account) {
        let mut ledger = self.shared.ledger();
        let now = self.shared.clock.now();
        ledger.set_account(now, account);
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

        let route = endpoint::find(head.uri.path());
        let endpoint = route.map(|route| route.endpoint);
        let body = match receive(body).await {
            Received::Whole(bytes) => Ok(bytes),
            Received::TooLarge => Err(Fault::too_large()),
            Received::BrokenOff => return error(&Fault::broken_off(), endpoint, None, exchange),
        };
        let asked = match route {
            Some(route) => ask(route, &head.method, body),
            None => Err(Fault::unknown_url(head.uri.path())),
        };

        let candidate = self.shared.candidate(&asked, &draw);
        let decision = exchange.arrive(candidate, draw.arrival_latency).await;

        if let Some(refusal) = &decision.refusal {
            let asked = asked.ok();
            return refuse(refusal, asked.as_ref(), endpoint, &decision, exchange);
        }
        let asked = match asked {
            Ok(asked) => asked,
            Err(fault) => return error(&fault, endpoint, Some(&decision), exchange),
        };

        let head_at = decision.at.saturating_add(draw.answer_latency);
        if self.shared.clock.now() < head_at {
            self.shared.clock.sleep_until(head_at).await;
        }
        if draw.fails {
            error(&Fault::failure(), endpoint, Some(&decision), exchange)
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
        let (arrivals, meters) = {
            let mut ledger = self.shared.ledger();
            let now = self.shared.clock.now();
            ledger.read(now)
        };
        // Read without the lock, so that a long log does not hold up the provider.
        Report::new(arrivals, meters, self.shared.window)
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
            self.shared.wall_clock.since_epoch(decision.at),
        );
        let Some(stream) = stream else {
            let told = Told {
                total_tokens: Some(answer.total_tokens()),
                ..self.shared.told(decision)
            };
            let body = endpoint.whole(&answer);
            return json(StatusCode::OK, &body, Some(&told), exchange);
        };
        let told = self.shared.told(decision);
        let mut head = self.shared.head(StatusCode::OK, &exchange, Some(&told));
        let headers = head.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let events = EventStream::new(stream, answer, head_at, draw.token_delays);
        head.map(|()| SimulatorBody::stream(events, exchange))
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
                    charged_at_end: false,
                    generates: false,
                    head_after: Duration::ZERO,
                    token_delays: None,
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
        let (required_tokens, charged_tokens) = match self.charge {
            TokenCharge::Reserved => {
                let longest = prompt.output.limit(self.behaviour.longest_answer());
                let reserved = input_tokens.saturating_add(longest);
                (reserved, reserved)
            }
            TokenCharge::LargerOfPromptAndCap => {
                // Without a cap there is nothing to compare the prompt with.
                let larger = input_tokens.max(prompt.output.limit(0));
                (larger, larger)
            }
            TokenCharge::Prompt => (input_tokens, input_tokens),
            TokenCharge::Actual => (actual, actual),
            TokenCharge::ActualAtEnd => (input_tokens, actual),
        };
        Candidate {
            status,
            input_tokens,
            output_tokens,
            required_tokens,
            charged_tokens,
            charged_at_end: self.charge == TokenCharge::ActualAtEnd,
            generates: prompt.output != Output::None,
            head_after: draw.answer_latency,
            token_delays: asked.stream().map(|_| draw.token_delays.clone()),
        }
    }

    fn told<'a>(&self, decision: &'a Decision) -> Told<'a> {
        Told {
            decision,
            clock: self.wall_clock,
            total_tokens: None,
        }
    }

    /// The head of an answer, at this moment.
    fn head(
        &self,
        status: StatusCode,
        exchange: &Exchange,
        told: Option<&Told<'_>>,
    ) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        let headers = head.headers_mut();
        if let Ok(request_id) = HeaderValue::try_from(request_id(exchange)) {
            headers.insert(self.dialect.request_id(), request_id);
        }
        if let Some(now) = self.wall_clock.at(self.clock.now()) {
            rate_headers::date(headers, now);
        }
        if let Some(told) = told {
            self.dialect.tell(headers, told);
        }
        head
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

fn ask(route: Route<'_>, method: &Method, body: Result<Bytes, Fault>) -> Result<Asked, Fault> {
    let Route { endpoint, model } = route;
    if method != Method::POST {
        return Err(Fault::wrong_method(method));
    }
    let mut body: Value = serde_json::from_slice(&body?).map_err(|error| {
        Fault::bad_request(format!(
            "We could not parse the JSON body of your request: {error}"
        ))
    })?;
    if let (Some(model), Some(fields)) = (model, body.as_object_mut()) {
        fields.insert("model".to_owned(), model.into());
    }
    let prompt = endpoint.read(&body).map_err(Fault::bad_request)?;
    Ok(Asked { endpoint, prompt })
}

fn refuse(
    refusal: &Refusal,
    asked: Option<&Asked>,
    endpoint: Option<&'static dyn Endpoint>,
    decision: &Decision,
    exchange: Exchange,
) -> Response<SimulatorBody> {
    let shared = exchange.shared();
    let told = shared.told(decision);
    let status = shared.dialect.status(refusal);
    let body = shared.dialect.refuse(&Refused {
        refusal,
        model: asked.map_or("default", |asked| &asked.prompt.model),
        shape: endpoint.map_or(ErrorShape::OpenAi, Endpoint::errors),
        request_id: &request_id(&exchange),
    });
    json(status, &body, Some(&told), exchange)
}

fn error(
    fault: &Fault,
    endpoint: Option<&'static dyn Endpoint>,
    decision: Option<&Decision>,
    exchange: Exchange,
) -> Response<SimulatorBody> {
    let shape = endpoint.map_or(ErrorShape::OpenAi, Endpoint::errors);
    let body = fault.to_json(shape, &request_id(&exchange));
    let told = decision.map(|decision| exchange.shared().told(decision));
    json(fault.status, &body, told.as_ref(), exchange)
}

fn json(
    status: StatusCode,
    body: &Value,
    told: Option<&Told<'_>>,
    exchange: Exchange,
) -> Response<SimulatorBody> {
    let mut head = exchange.shared().head(status, &exchange, told);
    head.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.map(|()| SimulatorBody::whole(body.to_string().into(), exchange))
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
            .field("wall_clock", &self.wall_clock)
            .field("dialect", &self.dialect)
            .field("charge", &self.charge)
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatorFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorFuture").finish_non_exhaustive()
    }
}
