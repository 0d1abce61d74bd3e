use ::reqwest::{Body, Error, Request, Url};
use http::Uri;

/// Puts `extension` into the extensions of `request`, to which reqwest gives no access.
///
/// A [`TokenEstimate`](crate::TokenEstimate) says what the request costs, in place of what can be read
/// of it; a [`RequestModel`](crate::per_model::RequestModel) which model it is for.
///
/// # Errors
///
/// reqwest's own, if the URL of the request is not one that can be sent to.
pub fn with_extension<T>(request: Request, extension: T) -> Result<Request, Error>
where
    T: Clone + Send + Sync + 'static,
{
    let mut request = into_http(request)?;
    request.extensions_mut().insert(extension);
    from_http(request)
}

/// What an `http::Request` does not carry.
#[derive(Clone)]
struct Original {
    /// With its fragment.
    url: Url,
    /// What `url` became.
    uri: Uri,
    has_body: bool,
}

pub(super) fn into_http(request: Request) -> Result<http::Request<Body>, Error> {
    let url = request.url().clone();
    let has_body = request.body().is_some();
    let mut request = http::Request::<Body>::try_from(request)?;
    let uri = request.uri().clone();
    request
        .extensions_mut()
        .insert(Original { url, uri, has_body });
    Ok(request)
}

/// The request that [`into_http`] took, with what was changed since.
pub(super) fn from_http(mut request: http::Request<Body>) -> Result<Request, Error> {
    let original = request.extensions_mut().remove::<Original>();
    let original = original.filter(|original| original.uri == *request.uri());
    let mut request = Request::try_from(request)?;
    if let Some(original) = original {
        *request.url_mut() = original.url;
        let body = request.body().and_then(Body::as_bytes);
        if !original.has_body && body.is_some_and(<[u8]>::is_empty) {
            *request.body_mut() = None;
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::reqwest::{Client, Version};
    use http::Method;

    use super::*;
    use crate::provider::TokenEstimate;

    fn debug(request: &Request) -> String {
        format!("{request:?} {:?}", request.body().map(Body::as_bytes))
    }

    #[test]
    fn a_request_comes_back_as_it_went() {
        let client = Client::new();
        for request in [
            client.get("http://provider.test/v1/models?a=%20b#fragment"),
            client
                .post("http://user@provider.test:81/v1")
                .body("{}")
                .header("x-a", "1")
                .header("x-a", "2")
                .version(Version::HTTP_11)
                .timeout(Duration::from_secs(7)),
            client.post("http://provider.test").body(""),
        ] {
            let request = request.build().unwrap();
            let expected = debug(&request);
            let timeout = request.timeout().copied();
            let back = from_http(into_http(request).unwrap()).unwrap();
            assert_eq!(debug(&back), expected);
            assert_eq!(back.timeout().copied(), timeout);
        }
    }

    #[test]
    fn what_was_changed_on_the_way_stays_changed() {
        let url = Url::parse("http://provider.test/#fragment").unwrap();
        let mut request = into_http(Request::new(Method::GET, url)).unwrap();
        *request.uri_mut() = Uri::from_static("http://other.test/");
        *request.body_mut() = Body::from("text");
        let request = from_http(request).unwrap();
        assert_eq!(request.url().as_str(), "http://other.test/");
        assert_eq!(request.body().and_then(Body::as_bytes), Some(&b"text"[..]));
    }

    #[test]
    fn an_extension_is_in_the_request_and_its_copies() {
        let url = Url::parse("http://provider.test/").unwrap();
        let estimate = TokenEstimate::new(3, 4);
        let request = with_extension(Request::new(Method::POST, url), estimate).unwrap();
        let copy = request.try_clone().unwrap();
        for request in [request, copy] {
            let request = into_http(request).unwrap();
            assert_eq!(request.extensions().get(), Some(&estimate));
        }
    }

    #[test]
    fn a_url_that_is_no_address_is_an_error() {
        let url = Url::parse("data:text/plain,hello").unwrap();
        let error = into_http(Request::new(Method::GET, url)).unwrap_err();
        assert!(error.is_builder());
    }
}
