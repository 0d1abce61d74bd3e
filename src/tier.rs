//! What a provider allows: [`Limit`]s.

mod charge;
mod limit;
mod meter;

pub use self::charge::Charge;
pub use self::limit::{Limit, LimitAmount, Margin};
pub use self::meter::Meter;
