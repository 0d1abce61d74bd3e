use std::fmt;

use super::Limit;

/// Why there is no such [`Tier`](super::Tier).
///
/// The message says what would do instead; the fields hold the same for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TierError {
    /// The catalogue has no row of this provider.
    UnknownProvider {
        /// What was asked for.
        name: String,
        /// The providers with rows.
        known: Vec<String>,
    },
    /// The catalogue has no row of this model.
    UnknownModel {
        /// The provider, as the catalogue spells it.
        provider: String,
        /// What was asked for.
        model: String,
        /// Models of this provider with a similar name, the most similar first; at most three.
        near: Vec<String>,
    },
    /// The catalogue has rows of this model, but not of this tier.
    UnknownTier {
        /// The provider, as the catalogue spells it.
        provider: String,
        /// The model, as the catalogue spells it.
        model: String,
        /// What was asked for.
        tier: String,
        /// The tiers of this model with rows.
        known: Vec<String>,
    },
    /// A name that is needed is empty.
    EmptyName {
        /// Which one: `provider`, `model`, `tier` or `pool`.
        part: &'static str,
    },
    /// A name has a character in it that separates names in the text form.
    Separator {
        /// Which one: `provider`, `model` or `tier`.
        part: &'static str,
        /// The name.
        name: String,
        /// The character.
        separator: char,
    },
    /// A limit of zero units never lets anything through. An unlimited meter has no limit at all.
    ZeroAmount {
        /// The limit.
        limit: Limit,
    },
    /// A limit per window has a window of no length.
    ZeroWindow {
        /// The limit.
        limit: Limit,
    },
    /// A limit on what is in flight at once has a window. Only the serialized form can say so.
    UnexpectedWindow {
        /// The limit, without the window.
        limit: Limit,
    },
    /// There is no time zone of this name in the IANA database.
    UnknownZone {
        /// What was asked for.
        name: String,
    },
    /// A limit that begins anew with a calendar day is not one per day. Only the serialized form can
    /// say so.
    NotADay {
        /// The limit, without its time zone.
        limit: Limit,
    },
    /// A tier that is to discover its limits has one already.
    KnownLimits {
        /// The limit.
        limit: Limit,
    },
    /// Two limits count the same thing over the same window.
    DuplicateLimit {
        /// The earlier one.
        first: Limit,
        /// The later one.
        second: Limit,
    },
    /// A text is not of the form `provider/model@tier` or `provider/model@tier#account`.
    Malformed {
        /// The text.
        text: String,
    },
}

impl std::error::Error for TierError {}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProvider { name, known } => write!(
                f,
                "no catalogue rows for provider {name:?}, only for {} \
                 (`Tier::builder` takes any provider)",
                Listed(known, "and"),
            ),
            Self::UnknownModel {
                provider,
                model,
                near,
            } => {
                write!(f, "no catalogue row for {provider} model {model:?}")?;
                if !near.is_empty() {
                    write!(f, "; did you mean {}?", Listed(near, "or"))?;
                }
                f.write_str(" (`Tier::builder` takes any model)")
            }
            Self::UnknownTier {
                provider,
                model,
                tier,
                known,
            } => write!(
                f,
                "no catalogue row for tier {tier:?} of {provider} model {model}, only for {} \
                 (`Tier::builder` takes any tier)",
                Listed(known, "and"),
            ),
            Self::EmptyName { part } => write!(f, "the {part} of a tier must not be empty"),
            Self::Separator {
                part,
                name,
                separator,
            } => write!(f, "the {part} {name:?} must not contain {separator:?}"),
            Self::ZeroAmount { limit } => write!(
                f,
                "a limit of {limit} allows nothing; leave it out where there is no limit"
            ),
            Self::ZeroWindow { limit } => write!(
                f,
                "a limit of {limit} needs a window longer than zero, like a minute"
            ),
            Self::UnexpectedWindow { limit } => {
                write!(f, "a limit of {limit} has no window")
            }
            Self::UnknownZone { name } => {
                write!(f, "{name:?} is no time zone of the IANA database")
            }
            Self::NotADay { limit } => write!(
                f,
                "only a limit per day begins anew with the day of a time zone, not one of {limit}"
            ),
            Self::KnownLimits { limit } => write!(
                f,
                "a tier either discovers its limits or states them, like {limit}"
            ),
            Self::DuplicateLimit { first, second } => write!(
                f,
                "{first} and {second} limit the same thing over the same window"
            ),
            Self::Malformed { text } => write!(
                f,
                "{text:?} is not of the form `provider/model@tier` or \
                 `provider/model@tier#account`"
            ),
        }
    }
}

/// Names in a sentence: `a`, `a or b`, `a, b or c`.
struct Listed<'a>(&'a [String], &'static str);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, conjunction) = self;
        match names {
            [] => f.write_str("nothing"),
            [name] => f.write_str(name),
            [init @ .., last] => write!(f, "{} {conjunction} {last}", init.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        let listed = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            Listed(&names, "or").to_string()
        };
        assert_eq!(listed(&[]), "nothing");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a or b");
        assert_eq!(listed(&["a", "b", "c"]), "a, b or c");
    }

    #[test]
    fn a_limit_is_described_in_words() {
        let limit = Limit::requests(0).per_minute();
        assert_eq!(
            TierError::ZeroAmount { limit }.to_string(),
            "a limit of 0 requests per minute allows nothing; leave it out where there is no limit"
        );
    }
}
