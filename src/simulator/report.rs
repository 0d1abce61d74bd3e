use std::fmt;
use std::time::Duration;

use super::gate::Gate;
use super::limiter::worst_window;
use crate::tier::{Limit, Meter};

/// One request that arrived, as the provider saw it.
///
/// All moments are durations since the simulator was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Arrival {
    /// The number of the request in the order in which requests were received, from 0. Arrivals
    /// are logged in the order in which they were counted: latencies reorder them.
    pub index: u64,
    /// When it arrived: when the limiter looked at it.
    pub at: Duration,
    /// Whether the limits let it pass. A malformed request passes and is then answered with 400.
    pub admitted: bool,
    /// Whether it counts against the limit on requests.
    pub counted: bool,
    /// The status of its answer.
    pub status: u16,
    /// What it costs of the limit on tokens, or would have cost had it been admitted.
    pub tokens: u64,
    /// When its tokens were counted; `None` if they were not, or not yet.
    pub tokens_at: Option<Duration>,
    /// Tokens of its prompt; 0 for a malformed request.
    pub input_tokens: u64,
    /// Tokens of its answer; 0 unless the status is 2xx.
    pub output_tokens: u64,
    /// What became of its answer.
    pub delivery: Delivery,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Delivery {
    /// It is being generated, or the client is still reading it.
    InProgress,
    /// All of it was handed to the connection.
    Complete,
    /// The client left, or dropped the answer, before that.
    ClientGone,
}

/// How one limit was used.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MeterReport {
    /// What is counted.
    pub meter: Meter,
    /// The length of the window that is enforced; zero for what is in flight.
    pub window: Duration,
    /// Units per window now; `None` if unlimited.
    pub limit: Option<u64>,
    /// Units counted in all, of ours: others have a count of their own.
    pub counted: u64,
    /// The most units of ours counted in any interval `(x, x + window]`, each at the moment it was
    /// counted, or the most that were ever in flight. Exact, and sliding whatever way the limit is
    /// enforced: where a bucket or a counter let more pass than the limit, it shows.
    pub worst_window: u64,
    /// The share of the limit that we used, as a fraction; `None` if unlimited, if the limit is
    /// zero, if nothing was counted, or for what is in flight.
    ///
    /// It is taken over the whole windows that fit between the first and the last unit counted,
    /// and at least one, from the first on: units counted in `[first, first + n * window)` divided
    /// by `n * limit`. Whole windows make it fair to bursts (a client that sends everything at the
    /// start of each window uses 100 %, not more) and it cannot exceed 1 unless the limit itself was
    /// exceeded, or lowered since. What follows the last whole window is left out.
    pub share_used: Option<f64>,
    /// Units that [others](super::SimulatorBuilder::others) used.
    pub others_counted: u64,
    /// Units that others were refused.
    pub others_refused: u64,
    /// The worst window of ours and those of others together: what the provider saw.
    pub worst_window_of_all: u64,
}

/// What a simulator saw up to now. Get one with [`Simulator::report`](super::Simulator::report).
///
/// `Display` writes a small table. With the `serde` feature it serializes without the log of
/// arrivals, which [`arrivals`](Self::arrivals) gives.
///
/// # Memory
///
/// The simulator keeps the log of every arrival for its lifetime, about 100 bytes each, and a
/// report is a copy of it: right for a test, not for a service that runs for weeks.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Requests that arrived: answered, throttled and failed together.
    pub arrived: u64,
    /// Requests answered with a 2xx status, whether or not the answer is delivered yet.
    pub answered: u64,
    /// Requests refused by a limit, those that were too large for it among them, or because of the
    /// state of the account: with 429, and with other statuses at some providers.
    pub throttled: u64,
    /// Requests answered with any other status: simulated failures and malformed requests.
    pub failed: u64,
    /// Requests whose client left before the whole answer was handed over.
    pub clients_gone: u64,
    /// Tokens of the prompts that were answered with 2xx.
    pub input_tokens: u64,
    /// Tokens generated for them, whether the client stayed to read them or not.
    pub output_tokens: u64,
    /// How the first limit on requests was used.
    pub requests: MeterReport,
    /// How the first limit on tokens of both kinds was used.
    pub tokens: MeterReport,
    /// Every limit, and what is not limited of requests and tokens, in the order of the provider.
    pub meters: Vec<MeterReport>,
    /// The most requests that arrived in any interval `(x, x + window]`, refused ones included.
    pub worst_offered_requests: u64,
    /// The [window](super::SimulatorBuilder::window) of the simulator.
    pub window: Duration,
    /// From the first arrival to the last.
    pub duration: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    log: Vec<Arrival>,
}

impl Report {
    /// Reads a log of arrivals, in the order in which they were counted.
    pub(super) fn new(log: Vec<Arrival>, meters: Vec<MeterReport>, window: Duration) -> Self {
        let count = |test: fn(&Arrival) -> bool| log.iter().filter(|a| test(a)).count() as u64;
        let sum = |tokens: fn(&Arrival) -> u64| {
            log.iter()
                .filter(|arrival| arrival.is_answered())
                .fold(0, |sum: u64, arrival| sum.saturating_add(tokens(arrival)))
        };
        let first = |limit: Limit| {
            let found = meters.iter().find(|report| report.meter == limit.meter());
            found
                .cloned()
                .unwrap_or_else(|| Gate::unlimited(limit).report())
        };
        Self {
            arrived: log.len() as u64,
            answered: count(Arrival::is_answered),
            throttled: count(|arrival| !arrival.admitted),
            failed: count(|arrival| arrival.admitted && !arrival.is_answered()),
            clients_gone: count(|arrival| arrival.delivery == Delivery::ClientGone),
            input_tokens: sum(|arrival| arrival.input_tokens),
            output_tokens: sum(|arrival| arrival.output_tokens),
            requests: first(Limit::requests(0).per(window)),
            tokens: first(Limit::tokens(0).per(window)),
            meters,
            worst_offered_requests: worst_window(log.iter().map(|a| (a.at, 1)), window),
            window,
            duration: match (log.first(), log.last()) {
                (Some(first), Some(last)) => last.at.saturating_sub(first.at),
                _ => Duration::ZERO,
            },
            log,
        }
    }

    /// Every arrival, in the order in which they were counted.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.log
    }
}

impl Arrival {
    fn is_answered(&self) -> bool {
        self.admitted && (200..300).contains(&self.status)
    }
}

impl MeterReport {
    /// Its name in a list of these: that of its meter, with the window if that is not enough.
    fn name_in(&self, all: &[Self]) -> String {
        let others = all.iter().filter(|other| other.meter == self.meter);
        match others.count() {
            0 | 1 => self.meter.to_string(),
            _ => format!("{} in {:?}", self.meter, self.window),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.meters.iter().map(|meter| meter.name_in(&self.meters));
        let names: Vec<_> = names.collect();
        let width = names.iter().map(|name| name.len() + 1).fold(10, usize::max);
        writeln!(
            f,
            "{:<width$}{:>12}{:>14}{:>14}{:>12}",
            "", "limit", "counted", "worst window", "share used",
        )?;
        for (name, meter) in names.iter().zip(&self.meters) {
            let limit = meter
                .limit
                .map_or_else(|| "none".to_owned(), |limit| limit.to_string());
            let share = meter
                .share_used
                .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
            writeln!(
                f,
                "{name:<width$}{limit:>12}{:>14}{:>14}{share:>12}",
                meter.counted, meter.worst_window,
            )?;
            if meter.others_counted > 0 || meter.others_refused > 0 {
                writeln!(
                    f,
                    "{:<width$}{:>12}{:>14}{:>14}{:>12}",
                    "", "and others", meter.others_counted, meter.worst_window_of_all, "",
                )?;
            }
        }
        writeln!(
            f,
            "{} arrived in {:.3?}: {} answered, {} throttled, {} failed; {} clients left early",
            self.arrived,
            self.duration,
            self.answered,
            self.throttled,
            self.failed,
            self.clients_gone,
        )?;
        writeln!(
            f,
            "at most {} offered in a window of {:?}",
            self.worst_offered_requests, self.window,
        )?;
        write!(
            f,
            "{} input and {} output tokens served",
            self.input_tokens, self.output_tokens,
        )
    }
}
