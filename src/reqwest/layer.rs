use tower_layer::Layer;

use super::as_http::AsHttp;
use super::as_reqwest::AsReqwest;

/// Puts a layer over `http`'s requests and responses around a client of reqwest's.
///
/// See the [module](super) for its use.
#[derive(Clone, Copy, Debug)]
pub struct ReqwestLayer<L> {
    layer: L,
}

impl<L> ReqwestLayer<L> {
    /// A layer that does to reqwest's requests what `layer` does to those of `http`.
    pub fn new(layer: L) -> Self {
        Self { layer }
    }
}

impl<L, C> Layer<C> for ReqwestLayer<L>
where
    L: Layer<AsHttp<C>>,
{
    type Service = AsReqwest<L::Service>;

    fn layer(&self, client: C) -> Self::Service {
        AsReqwest::new(self.layer.layer(AsHttp::new(client)))
    }
}
