//! The providers, each with the limits that its user would state.

use std::time::Duration;

use proactive_rate_limit::simulator::Twin;
use proactive_rate_limit::{Charge, Limit, TokenEstimate, Zone};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Tokens of each prompt, and of each answer: a request's cost is known when it is sent.
pub(crate) const TOKENS: u64 = 100;

/// One provider, and which of its limits is what keeps requests waiting.
#[derive(Clone)]
pub(crate) struct Case {
    pub name: &'static str,
    pub provider: &'static str,
    pub path: &'static str,
    pub twin: Twin,
    /// What the provider enforces. The first one binds.
    pub enforced: Vec<Limit>,
    /// What the user states of it.
    pub stated: Vec<Limit>,
    pub charge: Charge,
    /// What the user knows about a request.
    pub estimate: TokenEstimate,
    pub max_skew: Duration,
    pub run: Duration,
    /// How many days' quotas the run has, for a limit per calendar day.
    pub days: f64,
    /// When the run begins, by the provider's clock.
    pub starts_at: &'static str,
}

impl Case {
    fn new(name: &'static str, provider: &'static str, twin: Twin, enforced: &[Limit]) -> Self {
        Self {
            name,
            provider,
            path: "/v1/chat/completions",
            twin,
            enforced: enforced.to_vec(),
            stated: enforced.to_vec(),
            charge: Charge::Reserved,
            estimate: TokenEstimate::new(TOKENS, TOKENS),
            max_skew: Duration::from_millis(500),
            run: 10 * MINUTE,
            days: 1.0,
            starts_at: "2026-11-24T12:00:00Z",
        }
    }

    /// Short windows leave less room for the network: 250 ms are allowed for it.
    fn per_second(mut self) -> Self {
        self.max_skew = Duration::from_millis(250);
        self.run = 2 * MINUTE;
        self
    }

    fn charging(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    /// The limit that keeps requests waiting.
    pub(crate) fn binding(&self) -> Limit {
        self.stated[0]
    }
}

pub(crate) fn all() -> Vec<Case> {
    let requests = Limit::requests(600).per_minute();
    let tokens = Limit::tokens(120_000).per_minute();
    let anthropic = |name, limits: &[Limit]| Case {
        path: "/v1/messages",
        ..Case::new(name, "anthropic", Twin::Anthropic, limits).charging(Charge::Actual)
    };
    let gemini = |name, limits: &[Limit]| Case {
        path: "/v1beta/openai/chat/completions",
        ..Case::new(name, "gemini", Twin::Gemini, limits)
    };
    vec![
        Case::new("OpenAI, requests", "openai", Twin::OpenAi, &[requests]),
        Case::new("OpenAI, tokens", "openai", Twin::OpenAi, &[tokens]),
        anthropic("Anthropic, requests", &[requests]),
        anthropic(
            "Anthropic, input tokens",
            &[Limit::input_tokens(60_000).per_minute()],
        ),
        anthropic(
            "Anthropic, output tokens",
            &[Limit::output_tokens(60_000).per_minute()],
        ),
        Case::new("Groq, requests", "groq", Twin::Groq, &[requests]),
        Case::new("Groq, tokens", "groq", Twin::Groq, &[tokens]),
        Case {
            // A tenth of a minute's requests every ten seconds.
            stated: vec![Limit::requests(100).per(Duration::from_secs(10))],
            ..Case::new("Azure, requests", "azure", Twin::Azure, &[requests])
        },
        Case::new("Azure, tokens", "azure", Twin::Azure, &[tokens]),
        gemini("Gemini, requests", &[requests]),
        gemini(
            "Gemini, input tokens",
            &[Limit::input_tokens(60_000).per_minute()],
        ),
        Case {
            // Used up before midnight, and again after it.
            starts_at: "2026-11-25T07:50:00Z",
            run: 20 * MINUTE,
            days: 2.0,
            ..gemini(
                "Gemini, requests per day",
                &[
                    Limit::requests(500).per_calendar_day(Zone::PACIFIC),
                    Limit::requests(100).per_minute(),
                ],
            )
        },
        Case::new("Mistral, requests", "mistral", Twin::Mistral, &[requests]),
        Case::new("Mistral, tokens", "mistral", Twin::Mistral, &[tokens]).charging(Charge::Actual),
        Case {
            // A sixtieth of a minute's requests each second.
            stated: vec![Limit::requests(100).per_second()],
            ..Case::new(
                "xAI, requests",
                "xai",
                Twin::XAi,
                &[Limit::requests(6_000).per_minute()],
            )
            .per_second()
        },
        Case::new("xAI, tokens", "xai", Twin::XAi, &[tokens]).charging(Charge::Actual),
        Case::new(
            "Together, requests",
            "together",
            Twin::Together,
            &[Limit::requests(100).per_second()],
        )
        .per_second(),
        Case::new(
            "DeepSeek, in flight",
            "deepseek",
            Twin::DeepSeek,
            &[Limit::concurrent(20)],
        ),
    ]
}
