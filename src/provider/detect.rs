use http::Uri;

use super::{
    Anthropic, Azure, Bedrock, Cerebras, Cohere, DeepSeek, Fireworks, Gemini, Groq, Mistral,
    Ollama, OpenAi, OpenRouter, Provider, Together, Vertex, Xai,
};

/// What a host is known by.
#[derive(Clone, Copy, Debug)]
enum Host {
    Is(&'static str),
    EndsWith(&'static str),
    /// Its beginning and its ending, with a region between them.
    Regional(&'static str, &'static str),
}

impl Host {
    fn names(self, host: &str) -> bool {
        match self {
            Self::Is(name) => host == name,
            Self::EndsWith(ending) => host.len() > ending.len() && host.ends_with(ending),
            Self::Regional(beginning, ending) => host
                .strip_prefix(beginning)
                .and_then(|rest| rest.strip_suffix(ending))
                .is_some_and(|region| !region.is_empty() && !region.contains('.')),
        }
    }
}

/// The providers' API references, read 2026-11-23.
static HOSTS: [(Host, &dyn Provider); 21] = [
    (Host::Is("api.openai.com"), &OpenAi),
    (Host::EndsWith(".openai.azure.com"), &Azure),
    (Host::EndsWith(".cognitiveservices.azure.com"), &Azure),
    (Host::EndsWith(".services.ai.azure.com"), &Azure),
    (Host::Is("api.anthropic.com"), &Anthropic),
    (Host::Is("generativelanguage.googleapis.com"), &Gemini),
    (Host::Is("aiplatform.googleapis.com"), &Vertex),
    (Host::Regional("", "-aiplatform.googleapis.com"), &Vertex),
    (
        Host::Regional("bedrock-runtime.", ".amazonaws.com"),
        &Bedrock,
    ),
    (
        Host::Regional("bedrock-runtime-fips.", ".amazonaws.com"),
        &Bedrock,
    ),
    (Host::Is("api.mistral.ai"), &Mistral),
    (Host::Is("api.eu.mistral.ai"), &Mistral),
    (Host::Is("api.groq.com"), &Groq),
    (Host::Is("api.cohere.com"), &Cohere),
    (Host::Is("api.deepseek.com"), &DeepSeek),
    (Host::Is("api.x.ai"), &Xai),
    (Host::Is("api.together.xyz"), &Together),
    (Host::Is("api.together.ai"), &Together),
    (Host::Is("api.fireworks.ai"), &Fireworks),
    (Host::Is("openrouter.ai"), &OpenRouter),
    (Host::Is("api.cerebras.ai"), &Cerebras),
];

/// Ollama's port is not its own, and neither are these paths; together they are.
const OLLAMA_PORT: u16 = 11434;
static OLLAMA_PATHS: [&str; 3] = ["/api/chat", "/api/embed", "/api/generate"];

/// The built-in provider that serves `uri`, where the host, or port and path, leave no doubt.
///
/// ```
/// use http::Uri;
/// use proactive_rate_limit::provider;
///
/// let uri = Uri::from_static("https://api.groq.com/openai/v1/chat/completions");
/// assert_eq!(provider::detect(&uri).map(|provider| provider.name()), Some("groq"));
/// assert!(provider::detect(&Uri::from_static("https://llm.example.com/v1/responses")).is_none());
/// ```
pub fn detect(uri: &Uri) -> Option<&'static dyn Provider> {
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    let known = HOSTS.iter().find(|(known, _)| known.names(&host));
    known.map(|(_, provider)| *provider).or_else(|| {
        let is_ollama = uri.port_u16() == Some(OLLAMA_PORT) && OLLAMA_PATHS.contains(&uri.path());
        is_ollama.then_some(&Ollama as &dyn Provider)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_hosts_and_nothing_like_them() {
        let cases = [
            ("https://api.openai.com/v1/responses", Some("openai")),
            ("https://API.OpenAI.com./v1/responses", Some("openai")),
            ("https://api.openai.com.example.org/v1", None),
            ("https://api-openai.com/v1", None),
            (
                "https://my.openai.azure.com/openai/deployments/d/chat/completions",
                Some("azure"),
            ),
            ("https://openai.azure.com/", None),
            (
                "https://my.cognitiveservices.azure.com/openai/v1/responses",
                Some("azure"),
            ),
            (
                "https://my.services.ai.azure.com/anthropic/v1/messages",
                Some("azure"),
            ),
            ("https://api.anthropic.com/v1/messages", Some("anthropic")),
            (
                "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
                Some("gemini"),
            ),
            (
                "https://us-central1-aiplatform.googleapis.com/v1/projects/p",
                Some("vertex"),
            ),
            (
                "https://aiplatform.googleapis.com/v1/projects/p",
                Some("vertex"),
            ),
            (
                "https://evil.us-central1-aiplatform.googleapis.com/v1",
                None,
            ),
            (
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
                Some("bedrock"),
            ),
            ("https://bedrock-runtime.amazonaws.com/", None),
            (
                "https://bedrock-agent-runtime.eu-west-1.amazonaws.com/",
                None,
            ),
            (
                "https://api.mistral.ai/v1/chat/completions",
                Some("mistral"),
            ),
            (
                "https://api.groq.com/openai/v1/chat/completions",
                Some("groq"),
            ),
            ("https://api.cohere.com/v2/chat", Some("cohere")),
            (
                "https://api.deepseek.com/chat/completions",
                Some("deepseek"),
            ),
            ("https://api.x.ai/v1/chat/completions", Some("xai")),
            (
                "https://api.together.xyz/v1/chat/completions",
                Some("together"),
            ),
            (
                "https://api.together.ai/v1/chat/completions",
                Some("together"),
            ),
            (
                "https://api.fireworks.ai/inference/v1/chat/completions",
                Some("fireworks"),
            ),
            (
                "https://openrouter.ai/api/v1/chat/completions",
                Some("openrouter"),
            ),
            (
                "https://api.cerebras.ai/v1/chat/completions",
                Some("cerebras"),
            ),
            ("http://localhost:11434/api/chat", Some("ollama")),
            ("http://10.0.0.5:11434/api/generate", Some("ollama")),
            ("http://localhost:11434/api/embed", Some("ollama")),
            ("http://localhost:11434/v1/chat/completions", None),
            ("http://localhost:8000/api/chat", None),
            ("/v1/chat/completions", None),
            ("https://gateway.example.com/api.openai.com/v1", None),
        ];
        for (uri, expected) in cases {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(detect(&uri).map(Provider::name), expected, "{uri}");
        }
    }
}
