use super::Tokenizer;

/// The tokenizers of OpenAI's models: `o200k_base` for GPT-4o, 4.1, 4.5, 5, o1, o3, o4 and gpt-oss,
/// `cl100k_base` for GPT-4, 3.5 and the embeddings of the third generation (tiktoken 0.14, read
/// 2026-11-23). Which one GPT-6 has is not known, so it is not among them.
///
/// Models may be named with a provider before them, as `openai/gpt-oss-120b`. A deployment's name on
/// Azure says nothing unless it is a model's.
///
/// The vocabularies are loaded once in a process, when the first text is counted: each takes some 50 to
/// 250 ms and 70 MB. [`load`](Self::load) does so at a better time. After that it counts some 25 to
/// 60 MB of text a second (bpe-openai 0.3, measured 2026-11-23).
///
/// ```
/// use proactive_rate_limit::provider::{OpenAiTokenizer, Tokenizer};
///
/// assert!(OpenAiTokenizer.knows("gpt-4o-mini"));
/// assert_eq!(OpenAiTokenizer.count("gpt-4o-mini", "Why is the sky blue?"), 6);
/// assert!(!OpenAiTokenizer.knows("claude-sonnet-5-5"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAiTokenizer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vocabulary {
    O200k,
    Cl100k,
}

/// The first that a model's name begins with is its own.
static MODELS: [(&str, Vocabulary); 14] = [
    ("gpt-4o", Vocabulary::O200k),
    ("gpt-4.1", Vocabulary::O200k),
    ("gpt-4.5", Vocabulary::O200k),
    ("chatgpt-4o", Vocabulary::O200k),
    ("gpt-5", Vocabulary::O200k),
    ("gpt-oss", Vocabulary::O200k),
    ("o1", Vocabulary::O200k),
    ("o3", Vocabulary::O200k),
    ("o4-mini", Vocabulary::O200k),
    ("gpt-4", Vocabulary::Cl100k),
    ("gpt-3.5", Vocabulary::Cl100k),
    ("gpt-35", Vocabulary::Cl100k),
    ("text-embedding-3", Vocabulary::Cl100k),
    ("text-embedding-ada-002", Vocabulary::Cl100k),
];

impl OpenAiTokenizer {
    /// Loads the vocabulary of `model`, if it is known, so that no request waits for it. Blocks.
    pub fn load(self, model: &str) {
        if let Some(vocabulary) = Vocabulary::of(model) {
            vocabulary.tokenizer();
        }
    }
}

impl Tokenizer for OpenAiTokenizer {
    fn knows(&self, model: &str) -> bool {
        Vocabulary::of(model).is_some()
    }

    fn count(&self, model: &str, text: &str) -> u64 {
        let vocabulary = Vocabulary::of(model).unwrap_or(Vocabulary::O200k);
        vocabulary.tokenizer().count(text) as u64
    }
}

impl Vocabulary {
    fn of(model: &str) -> Option<Self> {
        // `openai/gpt-4o`, `openai.gpt-oss-120b-1:0`, `ft:gpt-4o:acme::7`
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("openai.").unwrap_or(name);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        MODELS
            .iter()
            .find(|(start, _)| name.starts_with(start))
            .map(|(_, vocabulary)| *vocabulary)
    }

    fn tokenizer(self) -> &'static bpe_openai::Tokenizer {
        match self {
            Self::O200k => bpe_openai::o200k_base(),
            Self::Cl100k => bpe_openai::cl100k_base(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_their_vocabulary() {
        let cases = [
            ("gpt-4o-2024-08-06", Some(Vocabulary::O200k)),
            ("gpt-4-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-4", Some(Vocabulary::Cl100k)),
            ("gpt-35-turbo", Some(Vocabulary::Cl100k)),
            ("gpt-5.2-codex", Some(Vocabulary::O200k)),
            ("openai/gpt-oss-120b", Some(Vocabulary::O200k)),
            ("openai.gpt-oss-120b-1:0", Some(Vocabulary::O200k)),
            ("ft:gpt-4o:acme::7", Some(Vocabulary::O200k)),
            ("text-embedding-3-large", Some(Vocabulary::Cl100k)),
            ("gpt-6-sol", None),
            ("llama-3.3-70b", None),
            ("", None),
        ];
        for (model, vocabulary) in cases {
            assert_eq!(Vocabulary::of(model), vocabulary, "{model}");
        }
    }

    /// By tiktoken 0.14.
    #[test]
    fn counts_as_tiktoken_does() {
        let cases = [
            ("gpt-4o", "", 0),
            ("gpt-4o", "hello world", 2),
            ("gpt-4", "hello world", 2),
            ("gpt-4", "tiktoken is great!", 6),
        ];
        for (model, text, tokens) in cases {
            assert_eq!(OpenAiTokenizer.count(model, text), tokens, "{text}");
        }
    }
}
