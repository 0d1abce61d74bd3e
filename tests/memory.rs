//! What passes through is not kept: counted by a heap profiler.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use proactive_rate_limit::provider::{OpenAi, Provider};
use proactive_rate_limit::schedule::{
    Decision, Dispatch, Proactive, SchedulingStrategy, Settlement, Spacing, Timestamp,
};
use proactive_rate_limit::usage::{Reading, UsageReader};
use proactive_rate_limit::{Charge, Cost, Limit};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The most heap memory that `work` has in use at a time beyond what is in use before it.
fn peak(work: impl FnOnce()) -> usize {
    let profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().curr_bytes;
    work();
    let peak = dhat::HeapStats::get().max_bytes - before;
    drop(profiler);
    peak
}

/// One test, since there can be one profiler at a time.
#[test]
fn memory_does_not_grow_with_what_passes() {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    // Of a stream the last two documents are kept, as far as they are short.
    for (content_type, most, open, close) in [
        (
            "application/json",
            0,
            "{\"a\":[\"",
            "\"],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}",
        ),
        (
            "text/event-stream",
            2 * 2048,
            "data: {\"a\":\"",
            "\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let peak = peak(|| {
            let mut reader = UsageReader::new(OpenAi.usage_paths(), &headers);
            reader.feed(open.as_bytes());
            for _ in 0..1600 {
                reader.feed(&piece);
            }
            reader.feed(close.as_bytes());
            assert!(matches!(reader.finish(), Reading::Usage(_)));
        });
        assert!(
            peak <= most,
            "{content_type}: {peak} bytes with 100 MB read"
        );
    }

    for limit in [100_000, 10_000_000] {
        let peak = peak(|| {
            let limits = [Limit::requests(limit).per_minute()];
            let mut strategy = Proactive::new(limits, Charge::Reserved).with_spacing(Spacing::Off);
            // Two minutes at 100,000 a minute, each request at a time of its own.
            for n in 0..200_000_u64 {
                let now = Timestamp::from_nanos(n * 600_000);
                if strategy.decide(now, &Cost::request()) != Decision::Admit {
                    continue;
                }
                let mut entry = strategy.reserve(now, &Cost::request());
                assert_eq!(strategy.dispatch(now, &mut entry), Dispatch::Now);
                strategy.answer(now, &mut entry);
                strategy.settle(now, entry, Settlement::Charged(Cost::request()));
            }
        });
        println!("{limit} requests per minute: {peak} bytes");
        assert!(
            peak <= 64 * 1024 + 1024,
            "{peak} bytes for a limit of {limit}"
        );
    }
}
