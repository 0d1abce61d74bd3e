//! Keeps outbound LLM calls under the provider's rate limits before the provider refuses them.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod peek;
pub mod provider;
pub mod schedule;
pub mod tier;
pub mod usage;

#[doc(inline)]
pub use self::{
    provider::TokenEstimate,
    schedule::Cost,
    tier::{Charge, Limit, Margin, Meter, Tier, TierBuilder, TierError},
};
