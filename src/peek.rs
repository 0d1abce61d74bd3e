//! What can be known about a request without consuming its body.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::Full;

use crate::provider::{Endpoint, Provider, RequestFacts, TokenEstimate, Tokenizer, url_model};

/// What to assume of a body that does not even tell its length, in bytes: a long prompt, not a book.
const ASSUMED_BYTES: u64 = 16 * 1024;

/// What a body shows of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peeked<'a> {
    /// Everything, shared with the body.
    Shared(Bytes),
    /// Everything, borrowed from the body.
    Borrowed(&'a [u8]),
    /// Its length in bytes.
    Length(u64),
    /// Only that it has at least this many bytes.
    AtLeast(u64),
}

/// Looks at `body` and leaves it as it is.
///
/// Bodies of a single buffer can be read; boxed, mapped and streamed ones keep their content to
/// themselves.
pub(crate) fn peek<B: Body + 'static>(body: &B) -> Peeked<'_> {
    let any: &dyn Any = body;
    if let Some(full) = any.downcast_ref::<Full<Bytes>>() {
        return Peeked::Shared(content(full.clone()).unwrap_or_default());
    }
    if let Some(full) = any.downcast_ref::<Full<&'static [u8]>>() {
        return Peeked::Borrowed(content(*full).unwrap_or_default());
    }
    if let Some(text) = any.downcast_ref::<String>() {
        return Peeked::Borrowed(text.as_bytes());
    }
    #[cfg(feature = "reqwest")]
    if let Some(bytes) = any
        .downcast_ref::<::reqwest::Body>()
        .and_then(::reqwest::Body::as_bytes)
    {
        return Peeked::Borrowed(bytes);
    }
    let size = body.size_hint();
    match size.exact() {
        Some(length) => Peeked::Length(length),
        None => Peeked::AtLeast(size.lower()),
    }
}

/// A `Full` gives what it holds in one frame and at once; one that is empty has no frame.
fn content<D: Buf>(mut full: Full<D>) -> Option<D>
where
    Full<D>: Body<Data = D> + Unpin,
{
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut full).poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}

/// What the price of `request` depends on, as `provider` reads it. `assumed_output_tokens` stands in
/// for a cap that the request does not set. What `tokenizer` counts wins over what is read.
pub(crate) fn facts<B: Body + 'static>(
    provider: &dyn Provider,
    request: &Request<B>,
    assumed_output_tokens: u64,
    tokenizer: Option<&dyn Tokenizer>,
) -> RequestFacts {
    let estimate = request.extensions().get::<TokenEstimate>().copied();
    let read = |body| provider.facts(request.method(), request.uri(), body);
    let read_and_count = |body| {
        let mut facts = read(Some(body));
        if let (Some(tokenizer), None) = (tokenizer, estimate) {
            facts.count_by(tokenizer, body);
        }
        facts
    };
    let of_length = |text_bytes| RequestFacts {
        text_bytes,
        ..read(None)
    };
    let mut facts = match peek(request.body()) {
        Peeked::Shared(json) => read_and_count(&json),
        Peeked::Borrowed(json) => read_and_count(json),
        Peeked::Length(bytes) => of_length(bytes),
        Peeked::AtLeast(bytes) => of_length(bytes.max(ASSUMED_BYTES)),
    };
    if is_upload(request.headers()) {
        facts.endpoint = Endpoint::Lookup;
    }
    facts.assumed_output_tokens = assumed_output_tokens;
    facts.estimate = estimate;
    facts
}

/// The model that `request` names, by its URL or its body, as `provider` reads it.
pub(crate) fn model<B: Body + 'static>(
    provider: &dyn Provider,
    request: &Request<B>,
) -> Option<String> {
    let paths = provider.request_paths();
    url_model::model(request.uri().path()).or_else(|| match peek(request.body()) {
        Peeked::Shared(json) => RequestFacts::model_in(paths, &json),
        Peeked::Borrowed(json) => RequestFacts::model_in(paths, json),
        Peeked::Length(_) | Peeked::AtLeast(_) => None,
    })
}

/// Files are not prompts: a form with an audio or a document in it says nothing of tokens.
fn is_upload(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .get(..10)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
    })
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::{BodyExt, Empty, StreamBody};

    use super::*;
    use crate::provider::OpenAi;

    const JSON: &str = r#"{"model":"m","max_tokens":5,"prompt":"hi"}"#;

    fn post<B>(body: B) -> Request<B> {
        Request::post("https://api.openai.com/v1/completions")
            .body(body)
            .unwrap()
    }

    #[test]
    fn single_buffers_are_read() {
        let expected = RequestFacts {
            assumed_output_tokens: 7,
            ..RequestFacts::from_json(JSON.as_bytes())
        };
        assert_eq!(expected.max_output_tokens, Some(5));
        assert_eq!(
            facts(&OpenAi, &post(Full::new(Bytes::from(JSON))), 7, None),
            expected
        );
        assert_eq!(facts(&OpenAi, &post(JSON.to_owned()), 7, None), expected);
        assert_eq!(
            facts(&OpenAi, &post(Full::new(JSON.as_bytes())), 7, None),
            expected
        );
    }

    #[test]
    fn reading_a_buffer_copies_nothing() {
        let bytes = Bytes::from(JSON.to_owned());
        let body = Full::new(bytes.clone());
        let Peeked::Shared(seen) = peek(&body) else {
            panic!("a full body is read");
        };
        assert_eq!(seen.as_ptr(), bytes.as_ptr());
        assert_eq!(body.size_hint().exact(), Some(JSON.len() as u64));
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn a_body_of_reqwest_is_read_unless_it_is_streamed() {
        let body = ::reqwest::Body::from(JSON);
        assert_eq!(peek(&body), Peeked::Borrowed(JSON.as_bytes()));
        let body = ::reqwest::Body::wrap(Full::new(Bytes::from(JSON)));
        assert_eq!(peek(&body), Peeked::Length(JSON.len() as u64));
    }

    #[test]
    fn other_bodies_tell_their_length_at_best() {
        let boxed = Full::new(Bytes::from(JSON)).boxed();
        assert_eq!(peek(&boxed), Peeked::Length(JSON.len() as u64));
        assert_eq!(peek(&Empty::<Bytes>::new()), Peeked::Length(0));

        let frames = futures_util::stream::empty::<Result<Frame<Bytes>, std::io::Error>>();
        let request = post(StreamBody::new(frames));
        assert_eq!(peek(request.body()), Peeked::AtLeast(0));
        assert_eq!(facts(&OpenAi, &request, 1, None).text_bytes, ASSUMED_BYTES);
    }

    #[test]
    fn the_request_around_the_body_counts_too() {
        let mut request = Request::post("https://api.openai.com/v1/embeddings?x=/y")
            .body(Full::new(Bytes::from(JSON)))
            .unwrap();
        request.extensions_mut().insert(TokenEstimate::new(3, 4));
        let facts = facts(&OpenAi, &request, 1, None);
        assert_eq!(facts.endpoint, Endpoint::Embeddings);
        assert_eq!(facts.estimate, Some(TokenEstimate::new(3, 4)));
        assert_eq!(facts.model.as_deref(), Some("m"));
    }
}
