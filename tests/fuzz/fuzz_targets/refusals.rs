#![no_main]

#[path = "../targets.rs"]
#[expect(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::refusals(input));
