//! Keeps outbound LLM calls under the provider's rate limits before the provider refuses them.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod schedule;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod tier;

#[doc(inline)]
pub use self::{
    schedule::Cost,
    tier::{Charge, Limit, Margin, Meter},
};
