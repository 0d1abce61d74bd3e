//! Each provider under each condition.

use std::fmt::Write;

use proactive_rate_limit::{BoxError, Meter};

use crate::case::{self, Case};
use crate::on_paused_clock;
use crate::run::{self, CONDITIONS, Condition, Outcome};

const SEED: u64 = 1;

pub(crate) fn markdown() -> Result<String, BoxError> {
    let cases = case::all();
    // Two threads, so that it takes half the time on two cores.
    let (first, second) = cases.split_at(cases.len() / 2);
    let rows = std::thread::scope(|scope| {
        let other = scope.spawn(|| rows(second));
        let mut rows = rows(first)?;
        rows.push_str(&other.join().map_err(|_| "a run panicked")??);
        Ok::<_, BoxError>(rows)
    })?;
    Ok(format!(
        "| provider, what binds | calm | jitter 200 ms | faults | 30 % used by others |\n\
         |---|---|---|---|---|\n{rows}"
    ))
}

fn rows(cases: &[Case]) -> Result<String, String> {
    let mut rows = String::new();
    for case in cases {
        let _ = write!(rows, "| {}, {} |", case.name, quota(case));
        for condition in CONDITIONS {
            let outcome = on_paused_clock(run::run(case, condition, SEED));
            let outcome = outcome.map_err(|error| error.to_string())?;
            let _ = write!(rows, " {} |", cell(case, condition, &outcome));
        }
        rows.push('\n');
    }
    Ok(rows)
}

fn quota(case: &Case) -> String {
    let limit = case.binding();
    let amount = limit.amount();
    match limit.window().as_secs() {
        0 => format!("{amount}"),
        1 => format!("{amount}/s"),
        60 => format!("{amount}/min"),
        86_400 => format!("{amount}/day"),
        seconds => format!("{amount}/{seconds} s"),
    }
}

/// Refused · worst window · share of the safe quota.
fn cell(case: &Case, condition: Condition, outcome: &Outcome) -> String {
    let meter = &outcome.meter;
    let worst = match condition {
        Condition::Others => meter.worst_window_of_all,
        _ => meter.worst_window,
    };
    let share = match (meter.meter, outcome.share_of_safe(case)) {
        (Meter::Concurrent, _) | (_, None) => String::new(),
        (_, Some(share)) => format!(" · {:.1} %", share * 100.0),
    };
    format!("{} · {worst}{share}", outcome.report.throttled)
}
