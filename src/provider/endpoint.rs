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
static ENDINGS: [(&str, Endpoint); 18] = [
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
    // Files, and batches, which have limits of their own.
    ("/files", Endpoint::Lookup),
    ("/batches", Endpoint::Lookup),
    ("/uploads", Endpoint::Lookup),
    ("/tokenize-text", Endpoint::Lookup),
    ("/tokenize", Endpoint::Lookup),
    ("/detokenize", Endpoint::Lookup),
];

/// What is in the ids of Bedrock's models that read only; `InvokeModel` is one path for all (LiteLLM
/// 1.110.2's price list, read 2026-11-24).
static READERS: [&str; 5] = [
    "titan-embed",
    "cohere.embed",
    "multimodal-embeddings",
    "marengo-embed",
    "rerank",
];

impl Endpoint {
    /// The work behind `method` and the path of a request's URI.
    ///
    /// A method without a body is [`Lookup`](Self::Lookup), paths that are known to read only are
    /// [`Embeddings`](Self::Embeddings), those that count tokens [`Lookup`](Self::Lookup), and all
    /// else may generate. Bedrock's `/model/{id}/invoke` goes by the model.
    pub fn of(method: &Method, path: &str) -> Self {
        if [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(method) {
            return Self::Lookup;
        }
        let path = path.trim_end_matches('/');
        if invoked(path).is_some_and(|id| READERS.iter().any(|name| id.contains(name))) {
            return Self::Embeddings;
        }
        ENDINGS
            .iter()
            .find(|(ending, _)| path.ends_with(ending))
            .map_or(Self::Generation, |(_, endpoint)| *endpoint)
    }
}

/// The model of a path of `InvokeModel`, as written.
fn invoked(path: &str) -> Option<&str> {
    let (_, id) = path.split_once("/model/")?;
    id.strip_suffix("/invoke")
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
            (
                "/model/amazon.titan-embed-text-v2%3A0/invoke",
                Endpoint::Embeddings,
            ),
            ("/model/us.cohere.embed-v4:0/invoke", Endpoint::Embeddings),
            ("/model/cohere.rerank-v3-5:0/invoke", Endpoint::Embeddings),
            ("/model/amazon.nova-lite-v1:0/invoke", Endpoint::Generation),
            ("/model/cohere.embed-v4:0/converse", Endpoint::Generation),
            ("/cohere.embed-v4:0/invoke", Endpoint::Generation),
            ("", Endpoint::Generation),
        ];
        for (path, expected) in cases {
            assert_eq!(Endpoint::of(&Method::POST, path), expected, "{path}");
            assert_eq!(Endpoint::of(&Method::GET, path), Endpoint::Lookup);
        }
    }
}
