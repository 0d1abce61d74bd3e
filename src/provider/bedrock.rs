use super::Provider;

/// AWS Bedrock, through its OpenAI-compatible endpoint.
///
/// It has no headers on limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bedrock;

impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }
}
