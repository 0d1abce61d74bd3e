//! What a provider allows: [`Limit`]s.

mod limit;
mod meter;

pub use self::limit::{Limit, LimitAmount, Margin};
pub use self::meter::Meter;
