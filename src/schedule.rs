//! The pure floor: which request may be sent when. No clock, no lock, no async.

mod cost;
mod timestamp;

pub use self::cost::Cost;
pub use self::timestamp::Timestamp;
pub(crate) use self::timestamp::saturating_nanos;
