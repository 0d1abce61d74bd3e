//! Real providers: limits of the kind that each has, and how it enforces and charges.

use std::time::Duration;

use proactive_rate_limit::simulator::Twin;
use proactive_rate_limit::{Charge, Limit, Spacing, Zone};

use crate::draw::Draw;
use crate::scenario::{Manner, Scenario};

const TWINS: [Twin; 9] = [
    Twin::OpenAi,
    Twin::Azure,
    Twin::Anthropic,
    Twin::Gemini,
    Twin::Groq,
    Twin::Mistral,
    Twin::XAi,
    Twin::Together,
    Twin::DeepSeek,
];

impl Draw {
    pub(crate) fn twin(&mut self) -> Scenario {
        let twin = self.pick(&TWINS);
        let manners = self.one_in(2);
        let mut scenario = self.exact(|draw| match manners {
            true => draw.manner(),
            false => Manner::Patient,
        });
        let margin = self.margin();
        let limits = self.limits_of(twin);
        scenario.limits = limits.iter().map(|limit| limit.margin(margin)).collect();
        scenario.server.twin = Some(twin);
        (scenario.server.charge, scenario.server.charges_at_end) = charge_of(twin);
        scenario.ours.discovers =
            matches!(twin, Twin::OpenAi | Twin::Anthropic | Twin::Groq) && self.one_in(4);
        if scenario.ours.discovers {
            // There is nothing to space by before limits are known, and margins are not stated.
            scenario.ours.spacing = Spacing::Even;
            scenario.limits = limits;
        }
        self.allow_for(&mut scenario);
        scenario
    }

    fn limits_of(&mut self, twin: Twin) -> Vec<Limit> {
        let requests = self.0.u64(6..60);
        let tokens = self.0.u64(1_000..6_000);
        match twin {
            Twin::Azure => vec![
                Limit::requests(requests * 6).per_minute(),
                // It allows a sixth of that every 10 s (facts read in 2026-11).
                Limit::requests(requests).per(Duration::from_secs(10)),
                Limit::tokens(tokens).per_minute(),
            ],
            Twin::Anthropic => vec![
                Limit::requests(requests).per_minute(),
                Limit::input_tokens(tokens).per_minute(),
                Limit::output_tokens(tokens).per_minute(),
            ],
            Twin::Gemini => vec![
                Limit::requests(requests).per_minute(),
                Limit::tokens(tokens).per_minute(),
                Limit::requests(1_000 + requests).per_calendar_day(Zone::PACIFIC),
            ],
            Twin::Groq => vec![
                Limit::requests(1_000 + requests).per_day(),
                Limit::tokens(tokens).per_minute(),
            ],
            // What it allows in a minute is enforced every second, and so it is stated.
            Twin::XAi => vec![
                Limit::requests(requests / 3).per_second(),
                Limit::tokens(tokens).per_minute(),
            ],
            Twin::Together => vec![
                Limit::requests(requests / 3).per_second(),
                Limit::tokens(tokens).per_second(),
            ],
            Twin::DeepSeek => vec![Limit::concurrent(requests / 3)],
            _ => vec![
                Limit::requests(requests).per_minute(),
                Limit::tokens(tokens).per_minute(),
            ],
        }
    }
}

/// What a twin charges, and whether it does so at the end of an answer.
fn charge_of(twin: Twin) -> (Charge, bool) {
    match twin {
        Twin::Anthropic | Twin::Mistral | Twin::XAi | Twin::Together => (Charge::Actual, true),
        _ => (Charge::Reserved, false),
    }
}
