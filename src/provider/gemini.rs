use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::duration::{self, DAY, MINUTE};
use super::error_body::ErrorBody;
use super::head::Head;
use super::{ImageTokens, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;
use crate::usage::{UsageField, UsagePath};

/// Google's Gemini API, and its OpenAI-compatible endpoint.
///
/// - Its limit on tokens counts input only (rate-limits page of 2026-08-18), so a tier has a
///   [`Limit::input_tokens`](crate::Limit::input_tokens) for it. Whether cached ones count is not
///   documented; they do here.
/// - It has no headers on limits; its refusals name the quota. A quota of a day comes back at
///   midnight Pacific time (same page), whatever the `retryDelay` beside it says: one of 38 seconds
///   was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gemini;

/// Response objects of the google-genai Python SDK 3.4, read 2026-11-23. Every chunk of a stream may
/// have running totals, and none is marked as the last.
pub(super) static USAGE: [UsagePath; 6] = [
    UsagePath::last(&["usageMetadata", "promptTokenCount"], UsageField::Input),
    UsagePath::last(
        &["usageMetadata", "cachedContentTokenCount"],
        UsageField::CachedInput,
    ),
    UsagePath::last(
        &["usageMetadata", "candidatesTokenCount"],
        UsageField::Output,
    ),
    UsagePath::last(
        &["usageMetadata", "thoughtsTokenCount"],
        UsageField::Thoughts,
    ),
    UsagePath::last(
        &["usageMetadata", "toolUsePromptTokenCount"],
        UsageField::ToolUse,
    ),
    UsagePath::last(&["usageMetadata", "totalTokenCount"], UsageField::Total),
];

/// Gemini 3 takes 1,120 for an image unless the request sets its resolution, and 2,240 at most (client
/// code, read 2026-11-23).
pub(super) const IMAGE_TOKENS: ImageTokens = ImageTokens::each(2_240);

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn image_tokens(&self, _model: Option<&str>) -> ImageTokens {
        IMAGE_TOKENS
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let error = ErrorBody::read(body);
        refusal(status, headers, &error)
    }
}

/// Reads an error of Google's, which may name quotas.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    error: &ErrorBody,
) -> Option<Refusal> {
    let refusal = openai_compatible::refusal(status, error, &[])?;
    if !matches!(
        refusal.cause,
        RefusalCause::RateLimit | RefusalCause::NotAllowed
    ) {
        return Some(refusal);
    }
    // Of several quotas the longest lasts.
    let daily = error
        .quotas
        .iter()
        .find(|quota| quota.id.contains("PerDay"));
    let reached = daily.or(error.quotas.first());
    let quota = reached.map(|quota| quota.id.as_str());
    let cause = match error.quotas.iter().any(|quota| quota.value == Some(0)) {
        true => RefusalCause::NotAllowed,
        false => refusal.cause,
    };
    let is_daily = daily.is_some() || error.codes().any(|code| code == "quota_exceeded");
    let (window, retry_after) = if is_daily {
        let made = Head::new(headers, SystemTime::UNIX_EPOCH).date();
        (Some(DAY), made.and_then(until_midnight_pacific))
    } else {
        let is_minutely = quota.is_some_and(|quota| quota.contains("PerMinute"));
        let delay = error.retry_delay.as_deref().and_then(duration::reset);
        let window = is_minutely.then_some(MINUTE);
        (window, delay.max(refusal.retry_after))
    };
    let code = quota.map(str::to_owned).or(refusal.code);
    Some(Refusal {
        cause,
        code,
        retry_after,
        limit: reached.and_then(|quota| quota.value).or(refusal.limit),
        meter: quota.or(Some(&error.message)).and_then(counted),
        window,
        ..refusal
    })
}

/// What a quota counts, by its id or by the metric that a message names.
fn counted(quota: &str) -> Option<Meter> {
    let quota = quota.to_ascii_lowercase();
    if quota.contains("inputtoken") || quota.contains("input_token") {
        Some(Meter::InputTokens)
    } else if quota.contains("requests") {
        Some(Meter::Requests)
    } else {
        None
    }
}

fn until_midnight_pacific(now: SystemTime) -> Option<Duration> {
    let now = Timestamp::try_from(now).ok()?;
    let today = now.in_tz("America/Los_Angeles").ok()?;
    let midnight = today.tomorrow().ok()?.start_of_day().ok()?;
    Duration::try_from(midnight.timestamp().duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_ends_at_midnight_in_california() {
        let cases = [
            // Winter and summer, and the days that are an hour longer and shorter.
            ("2026-11-24T07:59:59Z", 1),
            ("2026-11-24T08:00:00Z", 24 * 3600),
            ("2026-07-01T06:00:00Z", 3600),
            ("2026-11-01T07:00:00Z", 25 * 3600),
            ("2026-03-08T08:00:00Z", 23 * 3600),
        ];
        for (now, seconds) in cases {
            let now = SystemTime::try_from(now.parse::<Timestamp>().unwrap()).unwrap();
            assert_eq!(
                until_midnight_pacific(now),
                Some(Duration::from_secs(seconds)),
                "{now:?}"
            );
        }
    }
}
