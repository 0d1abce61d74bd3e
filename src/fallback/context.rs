use std::error::Error;
use std::fmt;

/// No model's context window holds the request. It was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextExceeded {
    /// The model with the largest window.
    pub model: String,
    /// That window, in tokens.
    pub window: u64,
    /// What the request needs of it at least, in tokens: its prompt and its cap on the answer.
    pub needed: u64,
}

impl fmt::Display for ContextExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the request needs a context of {} tokens, and the largest is {}, of {}",
            self.needed, self.window, self.model
        )
    }
}

impl Error for ContextExceeded {}
