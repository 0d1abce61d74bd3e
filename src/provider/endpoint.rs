use http::Method;

/// What kind of work a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Something is generated.
    #[default]
    Generation,
    /// Text is read and nothing is generated: embeddings, reranking, moderation.
    Embeddings,
    /// Something is looked up, counted, deleted or uploaded: no model reads a prompt, and usage that
    /// is told is that of an earlier request.
    Lookup,
}

/// How paths end that do not generate: the providers' API references and SDKs, read 2026-11-23.
static ENDINGS: [(&str, Endpoint); 15] = [
    ("/embeddings", Endpoint::Embeddings),
    ("/moderations", Endpoint::Embeddings),
    // Gemini.
    (":embedContent", Endpoint::Embeddings),
    (":batchEmbedContents", Endpoint::Embeddings),
    (":countTokens", Endpoint::Lookup),
    // Cohere and those who serve its models; Ollama.
    ("/v1/embed", Endpoint::Embeddings),
    ("/v2/embed", Endpoint::Embeddings),
    ("/api/embed", Endpoint::Embeddings),
    ("/rerank", Endpoint::Embeddings),
    // OpenAI, Anthropic, Bedrock, xAI, and what Cohere, vLLM and llama.cpp have in common.
    ("/responses/input_tokens", Endpoint::Lookup),
    ("/messages/count_tokens", Endpoint::Lookup),
    ("/count-tokens", Endpoint::Lookup),
    ("/tokenize-text", Endpoint::Lookup),
    ("/tokenize", Endpoint::Lookup),
    ("/detokenize", Endpoint::Lookup),
];

impl Endpoint {
    /// The work behind `method` and the path of a request's URI.
    ///
    /// A method without a body is [`Lookup`](Self::Lookup), paths that are known to read only are
    /// [`Embeddings`](Self::Embeddings), those that count tokens [`Lookup`](Self::Lookup), and all
    /// else may generate.
    pub fn of(method: &Method, path: &str) -> Self {
        if [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(method) {
            return Self::Lookup;
        }
        let path = path.trim_end_matches('/');
        ENDINGS
            .iter()
            .find(|(ending, _)| path.ends_with(ending))
            .map_or(Self::Generation, |(_, endpoint)| *endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_tells_the_work() {
        let cases = [
            ("/v1/chat/completions", Endpoint::Generation),
            ("/v1/responses", Endpoint::Generation),
            ("/v1/embeddings", Endpoint::Embeddings),
            ("/v1/embeddings/", Endpoint::Embeddings),
            ("/v1/my-embeddings", Endpoint::Generation),
            ("/v1beta/models/m:generateContent", Endpoint::Generation),
            ("/v1beta/models/m:embedContent", Endpoint::Embeddings),
            ("/v1beta/models/m:countTokens", Endpoint::Lookup),
            ("/v1/messages", Endpoint::Generation),
            ("/v1/messages/count_tokens", Endpoint::Lookup),
            ("/v1/responses/input_tokens", Endpoint::Lookup),
            ("/v2/rerank", Endpoint::Embeddings),
            ("", Endpoint::Generation),
        ];
        for (path, expected) in cases {
            assert_eq!(Endpoint::of(&Method::POST, path), expected, "{path}");
            assert_eq!(Endpoint::of(&Method::GET, path), Endpoint::Lookup);
        }
    }
}
