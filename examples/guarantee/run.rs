//! One run: many callers that always have work, through the layer, on a paused clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proactive_rate_limit::simulator::faults::{FaultKind, Faults, FaultyNetwork};
use proactive_rate_limit::simulator::{MeterReport, OtherTraffic, Report, Simulator};
use proactive_rate_limit::{BoxError, ProactiveRateLimitLayer, RateLimitTracker, Tier};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service, ServiceExt};

use crate::case::{Case, TOKENS};

/// What a run goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Calm,
    Jitter,
    Faults,
    Others,
}

pub(crate) const CONDITIONS: [Condition; 4] = [
    Condition::Calm,
    Condition::Jitter,
    Condition::Faults,
    Condition::Others,
];

/// Faults that do not move the moment at which a provider counts a request, each at this rate.
const FAULTS: [FaultKind; 8] = [
    FaultKind::ConnectRefused,
    FaultKind::AnswerLost,
    FaultKind::HeadDelay,
    FaultKind::ServerError,
    FaultKind::BodyStall,
    FaultKind::BodyCut,
    FaultKind::ErrorEvent,
    FaultKind::MalformedHeaders,
];
const FAULT_RATE: f64 = 0.02;

const CALLERS: usize = 120;

/// What the provider saw.
pub(crate) struct Outcome {
    pub report: Report,
    /// The limit that binds.
    pub meter: MeterReport,
}

impl Outcome {
    /// What was used of the limit less its margin, by us and by others.
    pub(crate) fn share_of_safe(&self, case: &Case) -> Option<f64> {
        let safe = case.binding().effective() as f64;
        if case.binding().reset_zone().is_some() {
            let used = self.meter.counted + self.meter.others_counted;
            return Some(used as f64 / (safe * case.days));
        }
        let ours = self.meter.share_used? * self.meter.limit? as f64;
        let windows = self.report.duration.as_secs_f64() / self.meter.window.as_secs_f64();
        let others = self.meter.others_counted as f64 / windows;
        Some((ours + others) / safe)
    }
}

pub(crate) fn simulator(case: &Case, condition: Condition, seed: u64) -> Simulator {
    let mut builder = Simulator::twin(case.twin)
        .answer_latency(Duration::from_millis(50)..=Duration::from_millis(450))
        .output_tokens(TOKENS..=TOKENS)
        .starts_at(starts_at(case))
        .seed(seed);
    builder = match condition {
        Condition::Jitter => builder.arrival_latency(Duration::ZERO..=Duration::from_millis(200)),
        _ => builder.arrival_latency(Duration::ZERO..=Duration::from_millis(20)),
    };
    if condition == Condition::Others {
        builder = builder.others(OtherTraffic::share(0.3));
    }
    for limit in &case.enforced {
        builder = builder.limit(*limit);
    }
    builder.build()
}

fn starts_at(case: &Case) -> SystemTime {
    let instant: jiff::Timestamp = case.starts_at.parse().expect("an instant");
    SystemTime::try_from(instant).expect("a time of this century")
}

pub(crate) fn layer(case: &Case) -> ProactiveRateLimitLayer {
    let tier = Tier::builder(case.provider, "model")
        .limits(case.stated.iter().copied())
        .charge(case.charge)
        .build()
        .expect("limits that make sense");
    let (start, begin) = (Instant::now(), starts_at(case));
    ProactiveRateLimitLayer::new(tier)
        .tracker(&RateLimitTracker::new())
        .max_skew(case.max_skew)
        .max_wait(Duration::from_secs(24 * 60 * 60))
        .wall_clock(move || begin + start.elapsed())
}

pub(crate) async fn run(case: &Case, condition: Condition, seed: u64) -> Outcome {
    let simulator = simulator(case, condition, seed);
    let layer = layer(case);
    match condition {
        Condition::Faults => {
            let plan = FAULTS
                .into_iter()
                .fold(Faults::new(), |plan, kind| plan.inject(kind, FAULT_RATE));
            let network = FaultyNetwork::new(simulator.clone(), plan.seed(seed));
            saturate(layer.layer(network), case, case.run).await;
        }
        _ => saturate(layer.layer(simulator.clone()), case, case.run).await,
    }
    outcome(case, simulator.report())
}

pub(crate) fn outcome(case: &Case, report: Report) -> Outcome {
    let binding = case.enforced[0].meter();
    let meter = report
        .meters
        .iter()
        .find(|meter| meter.meter == binding && meter.window == case.binding().window())
        .cloned()
        .expect("the limit that binds is reported");
    Outcome { report, meter }
}

/// Keeps a client busy: as many callers as it takes, each with its next request ready.
pub(crate) async fn saturate<S, B>(client: S, case: &Case, span: Duration)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body<Error: Into<BoxError> + Send, Data: Send> + Send + 'static,
{
    let end = Instant::now() + span;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut client, case) = (client.clone(), case.clone());
        callers.spawn(async move {
            while Instant::now() < end {
                let Ok(Ok(ready)) = timeout_at(end, client.ready()).await else {
                    return;
                };
                let call = ready.call(request(&case));
                // A fault is the next caller's luck.
                if let Ok(Ok(response)) = timeout_at(end, call).await {
                    let _ = timeout_at(end, response.into_body().collect()).await;
                }
            }
        });
    }
    callers.join_all().await;
}

pub(crate) fn request(case: &Case) -> Request<Full<Bytes>> {
    let prompt = "four".repeat(usize::try_from(TOKENS).unwrap_or_default());
    let body = serde_json::json!({
        "model": "model",
        "max_tokens": TOKENS,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let mut request = Request::post(case.path)
        .body(Full::from(body.to_string()))
        .expect("a request");
    request.extensions_mut().insert(case.estimate);
    request
}

/// Whether the provider refused it.
pub(crate) fn is_refusal(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
}
