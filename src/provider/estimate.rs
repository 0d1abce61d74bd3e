/// What a request will use, said by someone who knows better than a look at its body.
///
/// Put into a request's extensions, it replaces whatever would be estimated from the body: a
/// tokenizer's count, what a file or an image costs, or what a body holds that cannot be looked at.
///
/// ```
/// use proactive_rate_limit::TokenEstimate;
///
/// let mut request = http::Request::post("https://api.openai.com/v1/chat/completions")
///     .body(())?;
/// request.extensions_mut().insert(TokenEstimate::new(1_200, 400));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TokenEstimate {
    /// Tokens of the prompt.
    pub input: u64,
    /// The most tokens that may be generated, over all choices that the request asks for.
    pub output: u64,
}

impl TokenEstimate {
    /// An estimate of `input` prompt tokens and at most `output` generated tokens.
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output }
    }
}
