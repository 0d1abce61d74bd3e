//! Everything that makes up a run.

use std::time::Duration;

use http::{Request, header};
use http_body_util::Full;
use proactive_rate_limit::simulator::faults::FaultKind;
use proactive_rate_limit::simulator::{Enforcement, Twin};
use proactive_rate_limit::{Anchor, Charge, Limit, Margin, Meter, Spacing, Tier, TokenEstimate};

use crate::log::Tag;
use crate::support::Body;

/// One run, in full: a seed and a family give one, and one gives the same run every time.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) server: Server,
    /// The provider's, with our margins.
    pub(crate) limits: Vec<Limit>,
    pub(crate) ours: Ours,
    /// How often each of these faults happens.
    pub(crate) faults: Vec<(FaultKind, f64)>,
    /// The longest delay of [`FaultKind::ConnectDelay`].
    pub(crate) connect_delay: Duration,
    pub(crate) change: Option<Change>,
    /// The share of each limit that somebody else uses.
    pub(crate) others: f64,
    pub(crate) processes: usize,
    pub(crate) clients: Vec<Client>,
}

/// The provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// `None`: exact sliding logs.
    pub(crate) twin: Option<Twin>,
    /// How the exact one enforces.
    pub(crate) enforcement: Enforcement,
    pub(crate) charge: Charge,
    /// What is charged is charged when the answer is complete.
    pub(crate) charges_at_end: bool,
    pub(crate) arrival: Duration,
    pub(crate) answer: Duration,
    /// The longest delay before each token of a stream.
    pub(crate) token: Duration,
    pub(crate) failure_rate: f64,
}

/// The options of the layer.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) discovers: bool,
    pub(crate) spacing: Spacing,
    pub(crate) anchor: Anchor,
    pub(crate) max_skew: Duration,
    pub(crate) max_generation: Duration,
    pub(crate) max_hold: Duration,
    pub(crate) grace: Duration,
    pub(crate) widest_margin: Option<Margin>,
    pub(crate) follows_raises: bool,
}

/// The provider puts another amount in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    pub(crate) amount: u64,
    /// Instead of this one's.
    pub(crate) limit: Limit,
}

impl Change {
    /// The limit with its new amount, without a margin.
    pub(crate) fn limit_then(&self) -> Limit {
        let amount = match self.limit.meter() {
            Meter::Requests => Limit::requests(self.amount),
            Meter::Tokens => Limit::tokens(self.amount),
            other => panic!("limits on {other} do not change here"),
        };
        amount.per(self.limit.window())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) process: usize,
    /// It has a layer of its own, on the tracker of its process.
    pub(crate) own_layer: bool,
    pub(crate) manner: Manner,
    pub(crate) start: Duration,
    pub(crate) pause: Duration,
    pub(crate) work: Vec<Work>,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Waits for as long as it takes, and reads to the end.
    Patient,
    /// Gives each request up after this long, wherever it is.
    Impatient(Duration),
    /// Drops the body after so many frames.
    Leaving(usize),
    /// Waits to become ready for so long, and keeps the service that did not, for as long again.
    Keeping(Duration),
    /// Becomes ready, waits, and drops the service without a call.
    Unused(Duration),
    /// Polls the future of its call first after this long.
    Late(Duration),
    /// Polls it once, and again after this long.
    PolledOnce(Duration),
    /// Tries again, through tower's `Retry` around the layer, so many times after this pause.
    Retrying { times: u8, pause: Duration },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) stream: bool,
    /// The layer is told what it costs, and need not look.
    pub(crate) told: bool,
}

impl Scenario {
    pub(crate) fn tier(&self) -> Tier {
        let tier = Tier::builder(self.server.provider(), "test-model").charge(self.server.charge);
        let tier = match self.ours.discovers {
            true => tier.discover(),
            false => tier.limits(self.limits.iter().copied()),
        };
        tier.build().expect("valid limits")
    }

    /// The longest that a request takes to reach the provider.
    ///
    /// A connection is made inside the future of the call. Whoever polls that once and then leaves
    /// it alone sends the request when it comes back, however long ago it was dispatched.
    pub(crate) fn way(&self) -> Duration {
        if self.rate_of(FaultKind::ConnectDelay) == 0.0 {
            return self.server.arrival;
        }
        let left_alone = self.clients.iter().map(|client| match client.manner {
            Manner::PolledOnce(pause) => pause,
            _ => Duration::ZERO,
        });
        let connect = left_alone.fold(self.connect_delay, Duration::max);
        // A timer is late by up to a millisecond.
        self.server.arrival + connect + Duration::from_millis(2)
    }

    /// The longest that an answer takes from a request's arrival until it is complete.
    pub(crate) fn longest_answer(&self) -> Duration {
        let tokens = self.clients.iter().flat_map(|client| &client.work);
        let tokens = tokens.map(|work| work.output).max().unwrap_or(0);
        self.server.answer + self.server.token * u32::try_from(tokens).expect("a few tokens")
    }

    pub(crate) fn rate_of(&self, kind: FaultKind) -> f64 {
        let found = self.faults.iter().find(|(other, _)| *other == kind);
        found.map_or(0.0, |(_, rate)| *rate)
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

impl Server {
    fn provider(&self) -> &'static str {
        match self.twin {
            None => "openai-compatible",
            Some(Twin::OpenAi) => "openai",
            Some(Twin::Azure) => "azure",
            Some(Twin::Anthropic) => "anthropic",
            Some(Twin::Gemini) => "gemini",
            Some(Twin::Groq) => "groq",
            Some(Twin::Mistral) => "mistral",
            Some(Twin::XAi) => "xai",
            Some(Twin::Together) => "together",
            Some(Twin::DeepSeek) => "deepseek",
            Some(other) => panic!("a new twin: {other:?}"),
        }
    }

    fn path(&self) -> &'static str {
        match self.twin {
            Some(Twin::Anthropic) => "/v1/messages",
            Some(Twin::Gemini) => "/v1beta/openai/chat/completions",
            _ => "/v1/chat/completions",
        }
    }
}

impl Work {
    pub(crate) fn request(&self, server: &Server, tag: Tag) -> Request<Body> {
        let mut body = serde_json::json!({
            "model": "test-model",
            "max_tokens": self.output,
            "messages": [{
                "role": "user",
                "content": "x".repeat(usize::try_from(self.input * 4).expect("a short prompt")),
            }],
        });
        if self.stream {
            body["stream"] = true.into();
            body["stream_options"] = serde_json::json!({ "include_usage": true });
        }
        let mut request = Request::post(server.path())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .expect("a valid request");
        request.extensions_mut().insert(tag);
        if self.told {
            let estimate = TokenEstimate::new(self.input, self.output);
            request.extensions_mut().insert(estimate);
        }
        request
    }
}
