//! The pure floor: which request may be sent when. No clock, no lock, no async.
//!
//! A [`SchedulingStrategy`] is told the time and the [`Cost`] of a request and answers with a
//! [`Decision`]; [`Proactive`] is the one this crate is built around. Everything here can be driven
//! from a test, a simulation or another runtime by passing in the time.

mod cost;
mod decision;
mod entry;
mod flight;
mod horizon;
mod lengths;
mod log;
mod moment;
mod others;
mod output_reserve;
mod outputs;
mod proactive;
mod probe;
mod report;
mod reports;
mod spacing;
mod strategy;
mod timestamp;
mod timing;
mod widening;
mod window;

pub use self::cost::Cost;
pub use self::decision::{Cause, Decision, Dispatch, LimitStatus, Oversize, Settlement, Wait};
pub use self::entry::{Entry, Phase};
pub use self::output_reserve::OutputReserve;
pub use self::proactive::Proactive;
pub use self::report::ReportedLimit;
pub use self::spacing::Spacing;
pub use self::strategy::SchedulingStrategy;
pub use self::timestamp::Timestamp;
pub(crate) use self::timestamp::saturating_nanos;
pub use self::timing::{Anchor, Timing};
