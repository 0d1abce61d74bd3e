use tower_layer::Layer;

use super::service::AsyncOpenAi;
use crate::reqwest::{AsHttp, AsReqwest, ReqwestLayer};

/// Puts a layer over `http`'s requests and responses between async-openai's client and reqwest's.
///
/// See the [module](super) for its use.
#[derive(Clone, Copy, Debug)]
pub struct AsyncOpenAiLayer<L> {
    layer: ReqwestLayer<L>,
}

impl<L> AsyncOpenAiLayer<L> {
    /// A layer that does to async-openai's requests what `layer` does to those of `http`.
    pub fn new(layer: L) -> Self {
        Self {
            layer: ReqwestLayer::new(layer),
        }
    }
}

impl<L, C> Layer<C> for AsyncOpenAiLayer<L>
where
    L: Layer<AsHttp<C>>,
{
    type Service = AsyncOpenAi<AsReqwest<L::Service>>;

    fn layer(&self, client: C) -> Self::Service {
        AsyncOpenAi::new(self.layer.layer(client))
    }
}
