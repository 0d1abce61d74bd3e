/// The model that a request is for, said by its caller.
///
/// Put into a request's extensions, it wins over what the body and the URL say: for bodies that cannot
/// be looked at, or names that only a gateway knows.
///
/// ```
/// use proactive_rate_limit::per_model::RequestModel;
///
/// let mut request = http::Request::post("https://gateway.example/v1/chat").body(())?;
/// request.extensions_mut().insert(RequestModel::new("gpt-4o"));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestModel(String);

impl RequestModel {
    /// The model of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}
