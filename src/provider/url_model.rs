use percent_encoding::percent_decode_str;

/// How the paths of URLs name a model (the providers' API references, read 2026-11-23).
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The whole segment after this.
    Segment(&'static str),
    /// The segment after this, up to its last colon: `gemini-3.8-flash:generateContent`.
    BeforeMethod(&'static str),
}

static PLACES: [Place; 3] = [
    // Azure names a deployment.
    Place::Segment("/openai/deployments/"),
    // Bedrock. Its ids have colons of their own, and an ARN has its slash encoded.
    Place::Segment("/model/"),
    // Gemini and Vertex.
    Place::BeforeMethod("/models/"),
];

/// The model that a URL with this path names, decoded.
pub(crate) fn model(path: &str) -> Option<String> {
    PLACES.iter().find_map(|place| {
        let name = match place {
            Place::Segment(before) => {
                let (name, _) = after(path, before)?.split_once('/')?;
                name
            }
            Place::BeforeMethod(before) => {
                let segment = after(path, before)?.split('/').next()?;
                let (name, _) = segment.rsplit_once(':')?;
                name
            }
        };
        let name = percent_decode_str(name).decode_utf8().ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    })
}

fn after<'a>(path: &'a str, before: &str) -> Option<&'a str> {
    path.split_once(before).map(|(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_model_of_every_kind_of_url() {
        let cases = [
            ("/v1/chat/completions", None),
            ("/v1/models", None),
            ("/v1/models/gpt-6-sol", None),
            (
                "/openai/deployments/my-gpt/chat/completions",
                Some("my-gpt"),
            ),
            ("/openai/deployments/", None),
            (
                "/v1beta/models/gemini-3.8-flash:generateContent",
                Some("gemini-3.8-flash"),
            ),
            (
                "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-5-5@20260901:streamRawPredict",
                Some("claude-sonnet-5-5@20260901"),
            ),
            (
                "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
                Some("anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ),
            (
                "/model/meta.llama3-1-8b-instruct-v1%3A0/invoke",
                Some("meta.llama3-1-8b-instruct-v1:0"),
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse-stream",
                Some("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0"),
            ),
            ("/model/%FF/invoke", None),
            ("/model//invoke", None),
        ];
        for (path, expected) in cases {
            assert_eq!(model(path).as_deref(), expected, "{path}");
        }
    }
}
