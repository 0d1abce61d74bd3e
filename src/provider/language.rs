use super::{anthropic, bedrock, gemini, openai_compatible};
use crate::usage::UsagePath;

/// A language that a path belongs to, whoever serves it.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// A part of the path before its ending.
    within: &'static str,
    ending: &'static str,
    usage: &'static [UsagePath],
}

impl Route {
    const fn new(within: &'static str, ending: &'static str, usage: &'static [UsagePath]) -> Self {
        Self {
            within,
            ending,
            usage,
        }
    }

    fn leads(&self, path: &str) -> bool {
        path.strip_suffix(self.ending)
            .is_some_and(|rest| rest.contains(self.within))
    }
}

/// The providers' API references and SDKs, read 2026-11-23. A path that other services might use for
/// something else is not here.
static ROUTES: [Route; 17] = [
    Route::new("", "/v1/chat/completions", &openai_compatible::USAGE),
    Route::new("", "/openai/chat/completions", &openai_compatible::USAGE),
    Route::new("", "/v1/completions", &openai_compatible::USAGE),
    Route::new("", "/v1/responses", &openai_compatible::USAGE),
    Route::new("", "/v1/embeddings", &openai_compatible::USAGE),
    Route::new("", "/v1/messages", &anthropic::USAGE),
    Route::new("", ":generateContent", &gemini::USAGE),
    Route::new("", ":streamGenerateContent", &gemini::USAGE),
    Route::new("", ":embedContent", &gemini::USAGE),
    Route::new("", ":batchEmbedContents", &gemini::USAGE),
    Route::new("", ":rawPredict", &bedrock::NATIVE_USAGE),
    Route::new("", ":streamRawPredict", &bedrock::NATIVE_USAGE),
    Route::new("titan-embed", "/invoke", &bedrock::EMBED_USAGE),
    Route::new("/model/", "/invoke", &bedrock::NATIVE_USAGE),
    Route::new(
        "/model/",
        "/invoke-with-response-stream",
        &bedrock::NATIVE_USAGE,
    ),
    Route::new("/model/", "/converse", &bedrock::CONVERSE_USAGE),
    Route::new("/model/", "/converse-stream", &bedrock::CONVERSE_USAGE),
];

/// Where responses report usage in the language of this path, if it is sure.
pub(super) fn usage_paths(path: &str) -> Option<&'static [UsagePath]> {
    let path = path.trim_end_matches('/');
    let route = ROUTES.iter().find(|route| route.leads(path))?;
    Some(route.usage)
}
