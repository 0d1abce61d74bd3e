use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, Request, Uri};

/// Where providers expect a key (their API references, read 2026-11-23).
static KEY_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Gemini takes its key in the URL as well.
const KEY_PARAMETER: &str = "key";

/// How a signature of AWS begins. It differs with each request; the key's name in it does not.
const AWS_CREDENTIAL: &[u8] = b"Credential=";

/// Which account a request belongs to, where one client serves several.
///
/// Requests of different accounts draw on different budgets.
#[derive(Clone)]
pub struct Accounts(Arc<Label>);

/// What of a request becomes the label of its account.
type Label = dyn Fn(&Labelled<'_>) -> Option<String> + Send + Sync;

/// What of a request tells its account.
struct Labelled<'a> {
    uri: &'a Uri,
    headers: &'a http::HeaderMap,
    extensions: &'a http::Extensions,
}

impl Accounts {
    /// By the key that a request carries: in `Authorization`, `x-api-key`, `api-key` or
    /// `x-goog-api-key`, or as `key` in its URL. A request without one belongs to none.
    ///
    /// The account's label is a hash of the key, by SipHash with a secret that is drawn once for each
    /// `Accounts`: it cannot be turned back, and nothing else of the key is kept. Labels differ from
    /// process to process.
    ///
    /// Keys of one organisation share its limits at most providers: where a client has several of those,
    /// name the organisation with [`by`](Self::by).
    ///
    /// Keys that change, as the access tokens of Vertex AI do each hour, begin with fresh budgets; name
    /// the account there, too. Of AWS's signatures the id of the access key counts.
    pub fn by_credential() -> Self {
        let secret = RandomState::new();
        Self(Arc::new(move |request| {
            let key = credential(request)?;
            Some(format!("{:016x}", secret.hash_one(key)))
        }))
    }

    /// By what `name` makes of a request's URI, headers and extensions. `None`: no account.
    ///
    /// It becomes part of the budget's name, which statistics and errors show: return no key.
    pub fn by<F>(name: F) -> Self
    where
        F: Fn(&Uri, &http::HeaderMap, &http::Extensions) -> Option<String> + Send + Sync + 'static,
    {
        Self(Arc::new(move |request| {
            name(request.uri, request.headers, request.extensions)
        }))
    }

    pub(super) fn of<B>(&self, request: &Request<B>) -> Option<String> {
        (self.0)(&Labelled {
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        })
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

fn credential<'a>(request: &Labelled<'a>) -> Option<&'a [u8]> {
    let in_headers = KEY_HEADERS
        .iter()
        .find_map(|name| request.headers.get(name));
    match in_headers {
        Some(value) => Some(lasting(value.as_bytes())),
        None => {
            let parameters = request.uri.query()?.split('&');
            let mut pairs = parameters.filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| *name == KEY_PARAMETER)
                .map(|(_, key)| key.as_bytes())
        }
    }
}

/// The part of a credential that does not change from request to request.
fn lasting(credential: &[u8]) -> &[u8] {
    if !credential.starts_with(b"AWS4-") {
        return credential;
    }
    let found = credential
        .windows(AWS_CREDENTIAL.len())
        .position(|window| window == AWS_CREDENTIAL);
    match found {
        // `Credential=AKIA…/20261124/us-east-1/bedrock/aws4_request, SignedHeaders=…`
        Some(at) => {
            let id = &credential[at + AWS_CREDENTIAL.len()..];
            id.split(|&byte| byte == b'/').next().unwrap_or(id)
        }
        None => credential,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::post(uri);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap()
    }

    #[test]
    fn one_key_is_one_account_wherever_it_stands() {
        let accounts = Accounts::by_credential();
        let label = |uri: &str, headers: &[(&str, &str)]| accounts.of(&request(uri, headers));
        let first = label("/", &[("authorization", "Bearer sk-1")]);
        assert!(first.is_some());
        assert_eq!(first, label("/v1", &[("authorization", "Bearer sk-1")]));
        assert_ne!(first, label("/", &[("authorization", "Bearer sk-2")]));
        for header in ["x-api-key", "api-key", "x-goog-api-key"] {
            let by_header = label("/", &[(header, "sk-1")]);
            assert!(by_header.is_some(), "{header}");
            assert_eq!(by_header, label("/?alt=sse&key=sk-1", &[]), "{header}");
        }
        assert_eq!(label("/?alt=sse", &[]), None);
    }

    #[test]
    fn a_label_tells_nothing_of_the_key() {
        let request = request("/", &[("authorization", "Bearer sk-secret")]);
        let label = Accounts::by_credential().of(&request).unwrap();
        assert_eq!(label.len(), 16);
        assert!(!label.contains("secret"));
        // Nor can it be found by trying, from another process.
        assert_ne!(Accounts::by_credential().of(&request).unwrap(), label);
    }

    #[test]
    fn signatures_of_one_aws_key_are_one_account() {
        let accounts = Accounts::by_credential();
        let label = |day: &str, key: &str, signature: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={key}/{day}/us-east-1/bedrock/aws4_request, \
                 SignedHeaders=host, Signature={signature}"
            );
            accounts.of(&request("/", &[("authorization", &value)]))
        };
        assert_eq!(
            label("20261124", "AKIA1", "aa"),
            label("20261125", "AKIA1", "bb")
        );
        assert_ne!(
            label("20261124", "AKIA1", "aa"),
            label("20261124", "AKIA2", "aa")
        );
    }
}
