use std::fmt;

/// What a [`Limit`](crate::Limit) counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Meter {
    /// Requests sent.
    Requests,
    /// Input and output tokens together, by the provider's own rule.
    Tokens,
    /// Tokens of the prompt.
    InputTokens,
    /// Generated tokens.
    OutputTokens,
    /// Requests being served at the same time.
    Concurrent,
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Concurrent => "concurrent requests",
        })
    }
}
