use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use jiff::tz::TimeZone;

use super::TierError;

/// The time zone in which a provider's day begins, by its IANA name.
///
/// ```
/// use proactive_rate_limit::{Limit, Zone};
///
/// // Gemini counts requests per day, and begins anew at midnight Pacific time.
/// let rpd = Limit::requests(1_500).per_calendar_day(Zone::PACIFIC);
/// assert_eq!(rpd.to_string(), "1500 requests per day in America/Los_Angeles");
///
/// let zone: Zone = "europe/berlin".parse()?;
/// assert_eq!(zone.name(), "Europe/Berlin");
/// assert!("Europe/Atlantis".parse::<Zone>().is_err());
/// # Ok::<(), proactive_rate_limit::TierError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(
    // A thin pointer: limits are copied about, and in errors there are two of them.
    &'static &'static str,
);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(&"UTC");

    /// Pacific time, in which Gemini's day begins (rate limits page of 2026-08-18).
    pub const PACIFIC: Self = Self(&"America/Los_Angeles");

    /// The IANA name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The rules of the zone. Every name here was found in the database once; should that be
    /// another one now, the day begins with UTC's.
    pub(crate) fn rules(self) -> TimeZone {
        TimeZone::get(self.0).unwrap_or(TimeZone::UTC)
    }
}

/// By IANA name, in any case.
///
/// # Errors
///
/// [`TierError::UnknownZone`].
impl FromStr for Zone {
    type Err = TierError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || TierError::UnknownZone {
            name: name.to_owned(),
        };
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        zone.iana_name().map(interned).map(Self).ok_or_else(unknown)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Keeps one copy of each name for ever, so that a limit stays `Copy`. There are some six hundred.
fn interned(name: &str) -> &'static &'static str {
    static NAMES: Mutex<BTreeMap<&'static str, &'static &'static str>> =
        Mutex::new(BTreeMap::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.into());
            let pointer: &'static &'static str = Box::leak(Box::new(kept));
            names.insert(kept, pointer);
            pointer
        }
    }
}

#[cfg(feature = "serde")]
mod serialized {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::Zone;

    /// Its name.
    impl Serialize for Zone {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Zone {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let name = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
            name.parse().map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zones_named_here_exist() {
        for zone in [Zone::UTC, Zone::PACIFIC] {
            assert_eq!(zone.name().parse(), Ok(zone));
            assert_eq!(zone.rules().iana_name(), Some(zone.name()));
        }
    }

    #[test]
    fn a_name_is_kept_once() {
        let first: Zone = "Asia/Tokyo".parse().unwrap();
        let second: Zone = "ASIA/TOKYO".parse().unwrap();
        assert!(std::ptr::eq(first.name(), second.name()));
    }
}
