//! A limit that is lowered under us: how long it takes to learn of it.

use std::fmt::Write;
use std::time::Duration;

use proactive_rate_limit::{BoxError, Limit};
use tower::Layer;

use crate::case::{self, Case, MINUTE};
use crate::on_paused_clock;
use crate::run::{self, Condition};

/// When the limit is halved.
const LOWERED_AFTER: Duration = Duration::from_secs(150);

/// The longest time from sending a request to the head of its answer.
const ONE_ANSWER: Duration = Duration::from_millis(20 + 450);

const PROVIDERS: [&str; 4] = [
    "OpenAI, requests",
    "Anthropic, requests",
    "Azure, tokens",
    "Mistral, requests",
];

pub(crate) fn markdown() -> Result<String, BoxError> {
    let mut table =
        "| limit halved while running | refused | the last of them after | one answer takes |\n\
                     |---|---|---|---|\n"
            .to_owned();
    for case in case::all() {
        if PROVIDERS.contains(&case.name) {
            let (refused, last) = on_paused_clock(halve(&case))?;
            let last = match refused {
                0 => "–".to_owned(),
                _ => format!("{} ms", last.as_millis()),
            };
            let _ = writeln!(
                table,
                "| {} | {refused} | {last} | up to {} ms |",
                case.name,
                ONE_ANSWER.as_millis(),
            );
        }
    }
    Ok(table)
}

/// How many requests were refused, and how long after the change the last of them arrived.
async fn halve(case: &Case) -> (u64, Duration) {
    let simulator = run::simulator(case, Condition::Calm, 1);
    let client = run::layer(case).layer(simulator.clone());
    let working = run::saturate(client, case, 6 * MINUTE);
    let lowering = async {
        tokio::time::sleep(LOWERED_AFTER).await;
        let limit = case.enforced[0];
        let amount = limit.amount() / 2;
        let half = match limit.meter() {
            proactive_rate_limit::Meter::Requests => Limit::requests(amount),
            _ => Limit::tokens(amount),
        };
        simulator.set_limit(&half.per(limit.window()));
    };
    tokio::join!(working, lowering);
    let report = simulator.report();
    let refused = report.arrivals().iter().filter(|arrival| !arrival.admitted);
    let last = refused.map(|arrival| arrival.at).max().unwrap_or_default();
    (report.throttled, last.saturating_sub(LOWERED_AFTER))
}
