use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY, Limit, LimitAmount, Margin, Meter, TierError, Zone};

/// A [`Limit`] as it is written and read: only a limit per window has a window.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Limit", deny_unknown_fields)]
pub(super) struct SerializedLimit {
    meter: Meter,
    amount: u64,
    #[serde(default, with = "seconds", skip_serializing_if = "Option::is_none")]
    window_seconds: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_zone: Option<Zone>,
    #[serde(default)]
    margin: Option<Margin>,
}

impl From<Limit> for SerializedLimit {
    fn from(limit: Limit) -> Self {
        Self {
            meter: limit.meter,
            amount: limit.amount,
            window_seconds: Some(limit.window).filter(|window| !window.is_zero()),
            reset_zone: limit.reset_zone,
            margin: Some(limit.margin),
        }
    }
}

impl TryFrom<SerializedLimit> for Limit {
    type Error = TierError;

    fn try_from(serialized: SerializedLimit) -> Result<Self, Self::Error> {
        let SerializedLimit {
            meter,
            amount,
            window_seconds,
            reset_zone,
            margin,
        } = serialized;
        let window = window_seconds.unwrap_or_default();
        let limit = match meter {
            Meter::Concurrent if window.is_zero() => Self::concurrent(amount),
            Meter::Concurrent => {
                let limit = Self::concurrent(amount);
                return Err(TierError::UnexpectedWindow { limit });
            }
            meter => LimitAmount { meter, amount }.per(window),
        };
        limit.check()?;
        let limit = match reset_zone {
            None => limit,
            Some(zone) if limit.window == DAY => {
                LimitAmount { meter, amount }.per_calendar_day(zone)
            }
            Some(_) => return Err(TierError::NotADay { limit }),
        };
        Ok(match margin {
            Some(margin) => limit.margin(margin),
            None => limit,
        })
    }
}

/// A duration as a number of seconds: whole where it is, so that `60` stays `60`.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            None => serializer.serialize_none(),
            Some(whole) if whole.subsec_nanos() == 0 => serializer.serialize_u64(whole.as_secs()),
            Some(duration) => serializer.serialize_f64(duration.as_secs_f64()),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?
            .map(Duration::try_from_secs_f64)
            .transpose()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Limit, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn meter() -> impl Strategy<Value = Meter> {
        prop_oneof![
            Just(Meter::Requests),
            Just(Meter::Tokens),
            Just(Meter::InputTokens),
            Just(Meter::OutputTokens),
        ]
    }

    fn margin() -> impl Strategy<Value = Margin> {
        prop_oneof![
            any::<u64>().prop_map(Margin::Units),
            any::<u8>().prop_map(Margin::Percent),
        ]
    }

    proptest! {
        #[test]
        fn a_limit_is_read_back_as_it_was(
            meter in meter(),
            amount in 1..=u64::MAX,
            nanos in 1..24 * 60 * 60 * 24 * 1_000_000_000_u64,
            margin in margin(),
        ) {
            for limit in [
                LimitAmount { meter, amount }.per(Duration::from_nanos(nanos)),
                LimitAmount { meter, amount }.per(Duration::from_secs(nanos)),
                Limit::concurrent(amount),
            ] {
                let limit = limit.margin(margin);
                let json = serde_json::to_string(&limit).unwrap();
                prop_assert_eq!(read(&json), Ok(limit), "{}", json);
            }
        }
    }

    #[test]
    fn a_margin_left_out_is_the_default_of_the_meter() {
        assert_eq!(
            read(r#"{ "meter": "tokens", "amount": 600, "window_seconds": 0.5 }"#),
            Ok(Limit::tokens(600).per(Duration::from_millis(500)))
        );
        assert_eq!(
            read(r#"{ "meter": "concurrent", "amount": 3 }"#),
            Ok(Limit::concurrent(3))
        );
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for (json, complaint) in [
            (
                r#"{ "meter": "requests", "amount": 0, "window_seconds": 60 }"#,
                "a limit of 0 requests per minute allows nothing",
            ),
            (
                r#"{ "meter": "requests", "amount": 5 }"#,
                "a limit of 5 requests needs a window",
            ),
            (
                r#"{ "meter": "requests", "amount": 5, "window_seconds": 0 }"#,
                "a limit of 5 requests needs a window",
            ),
            (
                r#"{ "meter": "concurrent", "amount": 5, "window_seconds": 60 }"#,
                "a limit of 5 concurrent requests has no window",
            ),
            (
                r#"{ "meter": "requests", "amount": 5, "window_seconds": -1 }"#,
                "seconds",
            ),
            (
                r#"{ "meter": "requests", "amount": 5, "window_seconds": 1e300 }"#,
                "seconds",
            ),
            (
                r#"{ "meter": "requests", "amount": 5, "window": 60 }"#,
                "unknown field `window`",
            ),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(complaint), "{json}: {error}");
        }
    }
}
