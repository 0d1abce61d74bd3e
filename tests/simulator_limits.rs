//! Limits of every kind together, others on the same key, and limits that change while running.
#![cfg(feature = "simulator")]

use std::time::Duration;

use http::StatusCode;
use proactive_rate_limit::Limit;
use proactive_rate_limit::simulator::{
    Account, Arrival, Enforcement, OtherTraffic, Report, Simulator, SimulatorBuilder, Twin,
};
use tokio::time::{advance, sleep};

use self::simulated::{always, chat, chat_body, header, millis, post, secs, text, value};

mod simulated;

const MINUTE: Duration = Duration::from_secs(60);

async fn statuses(simulator: &Simulator, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        let response = simulator.handle(chat(1, 1)).await;
        statuses.push(response.status().as_u16());
        text(response).await;
    }
    statuses
}

async fn admitted(simulator: &Simulator, requests: usize) -> usize {
    let statuses = statuses(simulator, requests).await;
    statuses.iter().filter(|&&status| status == 200).count()
}

// --- Several limits -------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_request_must_pass_every_limit() {
    let provider = Simulator::builder()
        .requests(10)
        .limit(Limit::requests(2).per_second())
        .limit(Limit::input_tokens(100).per_minute())
        .build();
    assert_eq!(statuses(&provider, 3).await, [200, 200, 429]);
    advance(secs(1)).await;
    // 98 are left, and a request of that size leaves none for another.
    assert_eq!(provider.handle(chat(99, 1)).await.status(), 429);
    assert_eq!(provider.handle(chat(98, 1)).await.status(), 200);
    let refused = provider.handle(chat(1, 1)).await;
    assert_eq!(header(&refused, "retry-after"), Some("59"));
    let message = &value(refused).await["error"]["message"];
    assert!(
        message.as_str().unwrap().contains("input tokens"),
        "{message}"
    );

    let report = provider.report();
    let names: Vec<_> = report
        .meters
        .iter()
        .map(|meter| (meter.meter.to_string(), meter.window, meter.counted))
        .collect();
    assert_eq!(
        names,
        [
            ("requests".to_owned(), MINUTE, 3),
            ("requests".to_owned(), secs(1), 3),
            // What is not limited is counted all the same, here with the cap.
            ("tokens".to_owned(), MINUTE, 103),
            ("input tokens".to_owned(), MINUTE, 100),
        ]
    );
    assert_eq!(report.meters[1].worst_window, 2);
    assert_eq!(
        report.to_string(),
        "                       limit       counted  worst window  share used\n\
         requests in 60s           10             3             3      30.0 %\n\
         requests in 1s             2             3             2     100.0 %\n\
         tokens                  none           103           103           -\n\
         input tokens             100           100           100     100.0 %\n\
         6 arrived in 1.000s: 3 answered, 3 throttled, 0 failed; 2 clients left early\n\
         at most 6 offered in a window of 60s\n\
         100 input and 3 output tokens served"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_enforced_in_several_ways() {
    let rpm = Limit::requests(60).per_minute();
    let every = secs(1);
    let provider = Simulator::builder()
        .requests(5)
        .limit_by(rpm, Enforcement::TokenBucket)
        .limit_by(rpm, Enforcement::Quantised { every })
        .build();
    assert_eq!(admitted(&provider, 2).await, 1);
    advance(secs(1)).await;
    assert_eq!(admitted(&provider, 2).await, 1);

    // The last word on a meter and window counts.
    let provider = Simulator::builder()
        .limit(Limit::requests(60).per_minute())
        .limit(Limit::requests(3).per_minute())
        .build();
    assert_eq!(admitted(&provider, 10).await, 3);
}

/// Decisions against what all limits say by their definitions, over the log of what was counted.
#[test]
fn decisions_agree_with_the_definitions_of_all_limits_together() {
    for seed in 0..100 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let report = runtime.block_on(random_traffic(seed));
        let arrivals = report.arrivals();
        let mut refused = 0;
        for (position, arrival) in arrivals.iter().enumerate() {
            let before = &arrivals[..position];
            let counted = |recent: &dyn Fn(Duration) -> bool, amount: fn(&Arrival) -> u64| -> u64 {
                let counted = before.iter().filter(|a| a.admitted && recent(a.at));
                counted.map(amount).sum()
            };
            let in_last = |window| move |at: Duration| at + window > arrival.at;
            let second = |at: Duration| at.as_secs();
            let fits = counted(&in_last(secs(10)), |_| 1) < 12
                && counted(&|at| second(at) == second(arrival.at), |_| 1) < 3
                && (arrival.input_tokens == 0
                    || counted(&in_last(secs(20)), |a| a.input_tokens) + arrival.input_tokens
                        <= 300)
                && counted(&|at| at + millis(400) > arrival.at, |_| 1) < 2;
            assert_eq!(arrival.admitted, fits, "seed {seed}: {arrival:?}");
            refused += u32::from(!fits);
        }
        assert!(
            (20..180).contains(&refused),
            "seed {seed}: {refused} refused"
        );
    }
}

async fn random_traffic(seed: u64) -> Report {
    let mut rng = fastrand::Rng::with_seed(seed);
    let every = secs(1);
    let provider = Simulator::builder()
        .requests(12)
        .window(secs(10))
        .limit_by(
            Limit::requests(180).per_minute(),
            Enforcement::Quantised { every },
        )
        .limit(Limit::input_tokens(300).per(secs(20)))
        .limit(Limit::concurrent(2))
        // In flight for exactly this long.
        .answer_latency(always(millis(400)))
        .arrival_latency(Duration::ZERO..=millis(50))
        .seed(seed)
        .build();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..200 {
        sleep(millis(*rng.choice(&[0, 100, 300, 400, 1_000]).unwrap())).await;
        let body = chat_body(rng.usize(0..40), 10).to_string();
        let provider = provider.clone();
        clients
            .spawn(async move { text(provider.handle(post(simulated::CHAT, body)).await).await });
    }
    clients.join_all().await;
    provider.report()
}

// --- Others ---------------------------------------------------------------------------------

fn shared(share: f64) -> SimulatorBuilder {
    Simulator::builder()
        .requests(100)
        .others(OtherTraffic::share(share))
        .seed(5)
}

#[tokio::test(start_paused = true)]
async fn others_use_their_share_and_show_in_the_headers() {
    let provider = shared(0.3).tokens(10_000).build();
    advance(MINUTE).await;
    let response = provider.handle(chat(10, 90)).await;
    // 30 of theirs and one of ours; 3,000 tokens of theirs and 100 of ours.
    assert_eq!(
        header(&response, "x-ratelimit-remaining-requests"),
        Some("69")
    );
    assert_eq!(
        header(&response, "x-ratelimit-remaining-tokens"),
        Some("6900")
    );

    assert_eq!(admitted(&provider, 100).await, 69);
    let report = provider.report();
    assert_eq!((report.arrived, report.throttled), (101, 31), "ours alone");
    let requests = &report.requests;
    assert_eq!((requests.counted, requests.worst_window), (70, 70));
    assert_eq!(requests.share_used, Some(0.7));
    assert_eq!((requests.others_counted, requests.others_refused), (30, 0));
    assert_eq!(requests.worst_window_of_all, 100);
    assert!(
        report
            .to_string()
            .contains("and others            30           100")
    );
}

#[tokio::test(start_paused = true)]
async fn others_are_refused_like_anybody() {
    let provider = shared(0.3).build();
    // Ours take all that theirs leave, all the time.
    for _ in 0..600 {
        advance(secs(1)).await;
        provider.handle(chat(1, 1)).await;
        provider.handle(chat(1, 1)).await;
    }
    let requests = provider.report().requests;
    assert!(requests.others_refused > 50, "{requests:?}");
    assert_eq!(requests.others_counted + requests.others_refused, 300);
    assert_eq!(requests.worst_window_of_all, 100);
}

#[tokio::test(start_paused = true)]
async fn others_come_in_bursts_and_the_same_with_one_seed() {
    let run = async |others, seed| {
        let provider = shared(0.0).others(others).seed(seed).build();
        let mut remaining = Vec::new();
        for _ in 0..60 {
            advance(secs(1)).await;
            let response = provider.handle(chat(1, 1)).await;
            let now = header(&response, "x-ratelimit-remaining-requests");
            remaining.push(now.unwrap().parse::<i64>().unwrap());
        }
        remaining
    };
    let bursts = OtherTraffic::share(0.3).in_bursts_of(10);

    let one = run(bursts, 1).await;
    assert_eq!(one, run(bursts, 1).await);
    assert_ne!(one, run(bursts, 2).await);
    // Ours is one each second; theirs are ten at once.
    let steps: Vec<_> = one.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert_eq!(steps.iter().filter(|&&step| step == 11).count(), 3);
    assert_eq!(steps.iter().filter(|&&step| step == 1).count(), 56);
}

#[tokio::test(start_paused = true)]
async fn others_are_at_every_kind_of_limit() {
    let provider = Simulator::twin(Twin::Azure)
        .requests(600)
        .limit(Limit::requests(1_000).per_day())
        .limit(Limit::concurrent(10))
        .others(OtherTraffic::share(0.5))
        .build();
    advance(secs(600)).await;
    for meter in provider.report().meters {
        let (limit, window) = (meter.limit.unwrap_or(0), meter.window.as_secs());
        match window {
            0 => assert_eq!((meter.others_counted, meter.worst_window_of_all), (5, 5)),
            window => {
                let expected = (limit * 300 / window) as i64;
                let counted = meter.others_counted as i64;
                assert!((counted - expected).abs() <= 1, "{meter:?}");
            }
        }
        assert_eq!((meter.counted, meter.worst_window), (0, 0));
    }
    assert_eq!(provider.report().arrived, 0);
}

// --- Changes --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_limit_is_lowered_and_raised_at_once() {
    let provider = Simulator::builder().requests(10).build();
    assert_eq!(admitted(&provider, 6).await, 6);

    assert!(provider.set_limit(&Limit::requests(4).per_minute()));
    let refused = provider.handle(chat(1, 1)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "x-ratelimit-limit-requests"), Some("4"));
    assert_eq!(
        header(&refused, "x-ratelimit-remaining-requests"),
        Some("0")
    );
    assert_eq!(header(&refused, "retry-after"), Some("60"));

    assert!(provider.set_limit(&Limit::requests(8).per_minute()));
    assert_eq!(admitted(&provider, 10).await, 2);
    assert!(!provider.set_limit(&Limit::tokens(8).per_minute()), "none");
    assert_eq!(provider.report().requests.limit, Some(8));
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_a_change_is_decided_as_before() {
    let provider = Simulator::builder()
        .requests(1)
        .arrival_latency(always(millis(100)))
        .build();
    let on_its_way = provider.handle(chat(1, 1));
    assert!(tokio::time::timeout(millis(50), on_its_way).await.is_err());
    let late = provider.handle(chat(1, 1));
    assert!(tokio::time::timeout(millis(20), late).await.is_err());
    // The first has arrived when the limit is lowered, the second has not.
    advance(millis(35)).await;
    provider.set_limit(&Limit::requests(0).per_minute());
    provider.set_account(Account::NotOnPlan);
    advance(millis(100)).await;

    let report = provider.report();
    let admitted: Vec<_> = report.arrivals().iter().map(|a| a.admitted).collect();
    assert_eq!(admitted, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_every_way_that_a_limit_is_enforced_in() {
    let azure = Simulator::twin(Twin::Azure).requests(600).build();
    assert!(azure.set_limit(&Limit::requests(120).per_minute()));
    assert_eq!(admitted(&azure, 30).await, 20);
    let limits: Vec<_> = azure.report().meters.iter().map(|m| m.limit).collect();
    assert_eq!(limits, [Some(120), Some(20), None]);
}
