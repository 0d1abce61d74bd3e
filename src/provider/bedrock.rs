use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Provider, Refusal, RefusalCause, openai_compatible};

/// AWS Bedrock, through its OpenAI-compatible endpoint.
///
/// It has no headers on limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bedrock;

/// Where AWS names an error, besides the body or instead of it.
static ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// AWS SDK (botocore 1.44), read 2026-11-23.
static SIGNS: [(Sign, RefusalCause); 2] = [
    (Sign::Code("ThrottlingException"), RefusalCause::RateLimit),
    (Sign::Code("ModelNotReadyException"), RefusalCause::Capacity),
];

impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let named = headers
            .get(&ERROR_TYPE)
            .and_then(|value| value.to_str().ok());
        // `ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/`
        let name = named.and_then(|named| named.split(':').next());
        openai_compatible::refusal(status, &ErrorBody::read(body).named(name), &SIGNS)
    }
}
