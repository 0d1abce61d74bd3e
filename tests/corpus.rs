//! The fuzz targets of `tests/fuzz`, over their corpus and over random changes to it.

#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use fastrand::Rng;

/// Changed inputs for each target.
const CHANGED: u64 = 2_000;

/// Pieces that matter to some reader, for a change to put in.
const PIECES: [&str; 32] = [
    "\n\n",
    "\r\n",
    "\"",
    "\\",
    "\\u",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "-1",
    "0",
    "1e9",
    "1000000000000",
    "18446744073709551615",
    "99999999999999999999",
    "data: ",
    "\"usage\":{\"output_tokens\":7}",
    "31536000",
    "1795478430",
    "1795478430500",
    "2026-11-24T00:00:30Z",
    "Tue, 24 Nov 2026 00:00:30 GMT",
    "6m0s",
    "17ms",
    ";w=60",
    "limit 0",
    "requested 9999",
    "try again in 9h",
    "\u{feff}é😀",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no corpus");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn range(rng: &mut Rng, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = rng.usize(0..=bytes.len());
    let longest = (bytes.len() - start).min(1 << rng.u32(0..9));
    start..start + rng.usize(0..=longest)
}

/// One to eight changes of the kinds that a fuzzer makes.
fn change(rng: &mut Rng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..rng.usize(1..=8) {
        let at = rng.usize(0..=input.len());
        let place = range(rng, input);
        match rng.u8(0..6) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
            1 => drop(input.drain(place)),
            2 => {
                let again = input[place].to_vec();
                input.splice(at..at, again);
            }
            3 => {
                let other = &others[rng.usize(0..others.len())];
                let part = other[range(rng, other)].to_vec();
                input.splice(place, part);
            }
            4 => input.truncate(at),
            _ => {
                let piece = PIECES[rng.usize(0..PIECES.len())];
                input.splice(at..at, piece.bytes());
            }
        }
    }
}

fn assert_passes(target: fn(&[u8]), input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("{origin}: {:?}", String::from_utf8_lossy(input));
        resume_unwind(panic);
    }
}

fn run(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    for (index, input) in corpus.iter().enumerate() {
        assert_passes(target, input, &format!("{name}, number {index}"));
    }
    for seed in 0..CHANGED {
        let mut rng = Rng::with_seed(seed);
        let mut input = corpus[rng.usize(0..corpus.len())].clone();
        change(&mut rng, &mut input, &corpus);
        assert_passes(target, &input, &format!("{name}, seed {seed}"));
    }
}

#[test]
fn headers() {
    run("headers", targets::headers);
}

#[test]
fn refusals() {
    run("refusals", targets::refusals);
}

#[test]
fn usage_events() {
    run("usage_events", targets::usage_events);
}

#[test]
fn usage_json() {
    run("usage_json", targets::usage_json);
}
