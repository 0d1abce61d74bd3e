use std::fmt;
use std::time::Duration;

use super::ledger::Policy;
use super::sliding_log::worst_window;

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
    /// Units per window; `None` if unlimited.
    pub limit: Option<u64>,
    /// Units counted in all.
    pub counted: u64,
    /// The most units counted in any interval `(x, x + window]`, each at the moment it was counted.
    /// Exact: the maximum over the whole log.
    pub worst_window: u64,
    /// The share of the limit that was used, as a fraction; `None` if unlimited, if the limit is
    /// zero, or if nothing was counted.
    ///
    /// It is taken over the whole windows that fit between the first and the last unit counted,
    /// and at least one, from the first on: units counted in `[first, first + n * window)` divided
    /// by `n * limit`. Whole windows make it fair to bursts (a client that sends everything at the
    /// start of each window uses 100 %, not more) and it cannot exceed 1 unless the limit itself was
    /// exceeded. What follows the last whole window is left out.
    pub share_used: Option<f64>,
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
    /// Requests refused with 429, those that were too large for the limit among them.
    pub throttled: u64,
    /// Requests answered with any other status: simulated failures and malformed requests.
    pub failed: u64,
    /// Requests whose client left before the whole answer was handed over.
    pub clients_gone: u64,
    /// Tokens of the prompts that were answered with 2xx.
    pub input_tokens: u64,
    /// Tokens generated for them, whether the client stayed to read them or not.
    pub output_tokens: u64,
    /// How the limit on requests was used.
    pub requests: MeterReport,
    /// How the limit on tokens was used.
    pub tokens: MeterReport,
    /// The most requests that arrived in any interval `(x, x + window]`, refused ones included.
    pub worst_offered_requests: u64,
    /// The length of the window of both limits.
    pub window: Duration,
    /// From the first arrival to the last.
    pub duration: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    log: Vec<Arrival>,
}

impl Report {
    /// Reads a log of arrivals, in the order in which they were counted.
    pub(super) fn new(log: Vec<Arrival>, policy: &Policy) -> Self {
        let window = policy.window;
        let requests: Vec<_> = log
            .iter()
            .filter(|arrival| arrival.counted)
            .map(|arrival| (arrival.at, 1))
            .collect();
        // Tokens that are counted when an answer ends are counted in another order.
        let mut tokens: Vec<_> = log
            .iter()
            .filter_map(|arrival| arrival.tokens_at.map(|at| (at, arrival.tokens)))
            .collect();
        tokens.sort_unstable_by_key(|&(at, _)| at);

        let count = |test: fn(&Arrival) -> bool| log.iter().filter(|a| test(a)).count() as u64;
        let sum = |tokens: fn(&Arrival) -> u64| {
            log.iter()
                .filter(|arrival| arrival.is_answered())
                .fold(0, |sum: u64, arrival| sum.saturating_add(tokens(arrival)))
        };
        Self {
            arrived: log.len() as u64,
            answered: count(Arrival::is_answered),
            throttled: count(Arrival::is_throttled),
            failed: count(|arrival| !arrival.is_answered() && !arrival.is_throttled()),
            clients_gone: count(|arrival| arrival.delivery == Delivery::ClientGone),
            input_tokens: sum(|arrival| arrival.input_tokens),
            output_tokens: sum(|arrival| arrival.output_tokens),
            requests: MeterReport::new(policy.requests, &requests, window),
            tokens: MeterReport::new(policy.tokens, &tokens, window),
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
        (200..300).contains(&self.status)
    }

    fn is_throttled(&self) -> bool {
        self.status == http::StatusCode::TOO_MANY_REQUESTS.as_u16()
    }
}

impl MeterReport {
    fn new(limit: Option<u64>, counted: &[(Duration, u64)], window: Duration) -> Self {
        Self {
            limit,
            counted: sum(counted),
            worst_window: worst_window(counted.iter().copied(), window),
            share_used: limit.and_then(|limit| share_used(limit, counted, window)),
        }
    }
}

fn sum(counted: &[(Duration, u64)]) -> u64 {
    counted
        .iter()
        .fold(0, |sum, &(_, amount)| sum.saturating_add(amount))
}

fn share_used(limit: u64, counted: &[(Duration, u64)], window: Duration) -> Option<f64> {
    let (&(first, _), &(last, _)) = (counted.first()?, counted.last()?);
    if limit == 0 || window.is_zero() {
        return None;
    }
    let windows = ((last - first).as_nanos() / window.as_nanos()).max(1);
    let within =
        counted.partition_point(|&(at, _)| (at - first).as_nanos() < windows * window.as_nanos());
    Some(sum(&counted[..within]) as f64 / (windows as f64 * limit as f64))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10}{:>12}{:>14}{:>14}{:>12}",
            "", "limit", "counted", "worst window", "share used",
        )?;
        for (name, meter) in [("requests", &self.requests), ("tokens", &self.tokens)] {
            let limit = meter
                .limit
                .map_or_else(|| "none".to_owned(), |limit| limit.to_string());
            let share = meter
                .share_used
                .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
            writeln!(
                f,
                "{name:<10}{limit:>12}{:>14}{:>14}{share:>12}",
                meter.counted, meter.worst_window,
            )?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn share(limit: u64, at_millis: &[u64]) -> Option<f64> {
        let counted: Vec<_> = at_millis
            .iter()
            .map(|&at| (Duration::from_millis(at), 1))
            .collect();
        share_used(limit, &counted, WINDOW)
    }

    #[test]
    fn a_burst_per_window_uses_the_limit_once() {
        assert_eq!(share(2, &[0, 20, 10_000, 10_020]), Some(1.0));
        assert_eq!(share(2, &[0, 20, 10_000, 10_020, 20_010]), Some(1.0));
    }

    #[test]
    fn a_short_run_is_measured_against_one_window() {
        assert_eq!(share(4, &[500]), Some(0.25));
        assert_eq!(share(4, &[500, 1_000]), Some(0.5));
    }

    #[test]
    fn there_is_no_share_of_nothing() {
        assert_eq!(share(4, &[]), None);
        assert_eq!(share(0, &[1]), None);
    }
}
