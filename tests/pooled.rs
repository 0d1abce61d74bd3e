//! The pooled reserve for answers: what it gains over reserving every cap, and that it does not
//! overshoot.
//!
//! A client that always has more to send, on a logical clock, and a provider that counts the tokens
//! really generated. `cargo test --release --test pooled -- --nocapture` prints the figures.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use proactive_rate_limit::schedule::{
    Decision, Dispatch, Entry, Proactive, SchedulingStrategy, Settlement, Spacing, Timestamp,
};
use proactive_rate_limit::{Charge, Cost, Limit, OutputReserve};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const TOKENS_PER_MINUTE: u64 = 200_000;
const CAP: u64 = 4_096;
const MEAN: f64 = 200.0;
const INPUT: u64 = 100;

/// How long answers get, in tokens. Those of [`ALIKE`](Answers::ALIKE) have a mean of about [`MEAN`].
#[derive(Clone, Copy, Debug)]
enum Answers {
    /// Many short ones, few long ones.
    Exponential,
    /// Some very long ones.
    LogNormal,
    /// Most are very short, and one in fifty takes a third of the cap.
    TwoKinds,
    /// All the same.
    Constant,
    /// Three in ten take all that they may, and, where that takes its time, end long after the others:
    /// those that have ended say nothing of them.
    LateOnes,
    /// As [`Exponential`](Self::Exponential) for five minutes, and then all as long as may be: not
    /// what the pooled reserve is made for.
    SuddenlyLong,
}

impl Answers {
    const ALIKE: [Self; 4] = [
        Self::Exponential,
        Self::LogNormal,
        Self::TwoKinds,
        Self::Constant,
    ];

    fn draw(self, rng: &mut Rng, now: Timestamp) -> u64 {
        let length = match self {
            Self::SuddenlyLong if now >= Timestamp::ZERO + 5 * MINUTE => return CAP,
            Self::Exponential | Self::SuddenlyLong => -MEAN * (1.0 - rng.f64()).ln(),
            Self::LogNormal => {
                // Box and Muller's way to a normal variable; e^(σ²/2) is the mean of its power.
                let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
                let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
                MEAN * (normal - 0.5).exp()
            }
            Self::TwoKinds if rng.u32(..50) == 0 => 1_365.0,
            Self::TwoKinds => 176.0,
            Self::Constant => MEAN,
            Self::LateOnes if rng.u32(..10) < 3 => return CAP,
            Self::LateOnes => 50.0,
        };
        (length as u64).clamp(1, CAP)
    }
}

/// How long generating takes.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// Ten seconds, whatever the length.
    Alike,
    /// Twenty tokens a second: ten seconds for a usual one, minutes for a long one.
    ByLength,
}

/// When the provider counts generated tokens.
#[derive(Clone, Copy, Debug)]
enum Counts {
    AtTheEnd,
    AsGenerated,
}

struct Run {
    answers: Answers,
    pace: Pace,
    counts: Counts,
    reserve: OutputReserve,
    lasts: Duration,
    seed: u64,
}

#[derive(Debug)]
struct Outcome {
    answered: usize,
    worst: u64,
}

impl Run {
    fn play(&self) -> Outcome {
        let mut rng = Rng::with_seed(self.seed);
        let limit = Limit::tokens(TOKENS_PER_MINUTE).per_minute();
        let mut strategy = Proactive::new([limit], Charge::Actual)
            .with_spacing(Spacing::Off)
            .with_output_reserve(self.reserve);
        let reserved = Cost::request()
            .with_input_tokens(INPUT)
            .with_output_tokens(CAP)
            .with_tokens(INPUT + CAP);
        let end = Timestamp::ZERO + self.lasts;
        let mut now = Timestamp::ZERO;
        let mut ends = BinaryHeap::new();
        let mut under_way: BTreeMap<usize, (Entry, Cost)> = BTreeMap::new();
        let mut counted: Vec<(Timestamp, u64)> = Vec::new();
        let mut sent = 0;
        let mut answered = 0;
        while now < end {
            while let Some(&Reverse((at, id))) = ends.peek() {
                if at > now {
                    break;
                }
                ends.pop();
                let (entry, charged) = under_way.remove(&id).unwrap();
                strategy.settle(now, entry, Settlement::Charged(charged));
                answered += 1;
            }
            let next_end = ends.peek().map(|Reverse((at, _))| *at);
            match strategy.decide(now, &reserved) {
                Decision::Admit => {
                    let mut entry = strategy.reserve(now, &reserved);
                    assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
                    let input = rng.u64(INPUT / 2..=INPUT);
                    let output = self.answers.draw(&mut rng, now);
                    let takes = match self.pace {
                        Pace::Alike => 10 * SECOND,
                        Pace::ByLength => SECOND.mul_f64(output as f64 / 20.0),
                    };
                    let begins = now + Duration::from_millis(rng.u64(0..=500));
                    let ends_at = begins + takes;
                    counted.push((begins, input));
                    match self.counts {
                        Counts::AtTheEnd => counted.push((ends_at, output)),
                        Counts::AsGenerated => {
                            for part in 1..=10 {
                                let until = output * part / 10 - output * (part - 1) / 10;
                                let at = begins + takes.mul_f64(part as f64 / 10.0);
                                counted.push((at, until));
                            }
                        }
                    }
                    let charged = Cost::request()
                        .with_input_tokens(input)
                        .with_output_tokens(output)
                        .with_tokens(input + output);
                    under_way.insert(sent, (entry, charged));
                    ends.push(Reverse((ends_at, sent)));
                    sent += 1;
                }
                Decision::Wait(wait) => {
                    let next = [wait.until, next_end].into_iter().flatten().min();
                    now = next.expect("nothing would ever happen again");
                }
                refused => panic!("{refused:?}"),
            }
        }
        counted.retain(|(at, _)| *at <= now);
        counted.sort();
        Outcome {
            answered,
            worst: worst_window(&counted),
        }
    }
}

/// The most that any interval of a minute holds.
fn worst_window(counted: &[(Timestamp, u64)]) -> u64 {
    let mut within = VecDeque::new();
    let (mut sum, mut worst) = (0, 0);
    for &(at, tokens) in counted {
        within.push_back((at, tokens));
        sum += tokens;
        while let Some(&(first, tokens)) = within.front() {
            if at.saturating_since(first) < MINUTE {
                break;
            }
            within.pop_front();
            sum -= tokens;
        }
        worst = worst.max(sum);
    }
    worst
}

#[test]
fn it_serves_far_more_than_reserving_every_cap() {
    println!(
        "200,000 tokens a minute, ten minutes from a cold start, answers of 200 of 4,096 tokens"
    );
    for pace in [Pace::Alike, Pace::ByLength] {
        for answers in Answers::ALIKE {
            let run = |reserve| Run {
                answers,
                pace,
                counts: Counts::AtTheEnd,
                reserve,
                lasts: 10 * MINUTE,
                seed: 1,
            };
            let caps = run(OutputReserve::Caps).play();
            let pooled = run(OutputReserve::default()).play();
            let gain = pooled.answered as f64 / caps.answered as f64;
            println!(
                "{answers:?}, {pace:?}: {} answered with every cap reserved, {} pooled: {gain:.2} times; \
                 worst minute {} and {}",
                caps.answered, pooled.answered, caps.worst, pooled.worst
            );
            let least = match pace {
                Pace::Alike => 1.8,
                Pace::ByLength => 1.0,
            };
            assert!(gain >= least, "{answers:?}, {pace:?}: {gain:.2}");
        }
    }
}

#[test]
fn a_thousand_runs_do_not_overshoot() {
    let seeds = std::env::var("POOLED_SEEDS").map_or(1_000, |seeds| seeds.parse().unwrap());
    let mut worst = 0;
    let mut answered = 0;
    for seed in 0..seeds {
        let mut rng = Rng::with_seed(seed);
        let run = Run {
            answers: match rng.u32(..5) {
                0 => Answers::LateOnes,
                _ => rng.choice(Answers::ALIKE).unwrap(),
            },
            pace: rng.choice([Pace::Alike, Pace::ByLength]).unwrap(),
            counts: rng.choice([Counts::AtTheEnd, Counts::AsGenerated]).unwrap(),
            reserve: OutputReserve::default(),
            lasts: 5 * MINUTE,
            seed,
        };
        let outcome = run.play();
        assert!(
            outcome.worst <= TOKENS_PER_MINUTE - 2,
            "seed {seed}: {:?}, {:?}, {:?}: {outcome:?}",
            run.answers,
            run.pace,
            run.counts
        );
        worst = worst.max(outcome.worst);
        answered += outcome.answered;
    }
    println!("{seeds} runs, {answered} answers: no overshoot; worst minute {worst}");
}

/// What the documentation warns of, and its remedy. It shows that the check above can fail.
#[test]
fn answers_that_all_at_once_get_longer_overshoot_once() {
    let worst = |reserve| {
        let run = Run {
            answers: Answers::SuddenlyLong,
            pace: Pace::Alike,
            counts: Counts::AtTheEnd,
            reserve,
            lasts: 15 * MINUTE,
            seed: 1,
        };
        run.play().worst
    };
    let (pooled, caps) = (worst(OutputReserve::default()), worst(OutputReserve::Caps));
    println!(
        "all at once at the cap: worst minute {pooled} pooled, {caps} with every cap reserved"
    );
    assert!(pooled > TOKENS_PER_MINUTE, "the documentation warns of it");
    assert!(caps <= TOKENS_PER_MINUTE - 2);
}
