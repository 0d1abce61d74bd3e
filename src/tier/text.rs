//! The text form `provider/model@tier#account`, and the names that keep it unambiguous.
//!
//! It is read from the outside in: the account is all that follows the first `#`, the provider ends
//! at the first `/`, the tier starts after the last `@`. So a model may contain `/` and `@`
//! (`meta/llama`, `claude-opus-4@20250514`), and an account label anything at all.

use std::fmt;
use std::str::FromStr;

use super::builder::DISCOVERED;
use super::{Tier, TierError};

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.provider, self.model, self.name)?;
        match &self.account {
            Some(label) => write!(f, "#{label}"),
            None => Ok(()),
        }
    }
}

/// Looks the tier up in the [`catalogue`](super::catalogue), as [`Tier::lookup`] does; the tier
/// `discovered` is one whose limits are to be [discovered](Tier::discover).
impl FromStr for Tier {
    type Err = TierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || TierError::Malformed {
            text: text.to_owned(),
        };
        let (names, account) = text.split_once('#').unwrap_or((text, ""));
        let (provider, rest) = names.split_once('/').ok_or_else(malformed)?;
        let (model, tier) = rest.rsplit_once('@').ok_or_else(malformed)?;
        if [provider, model, tier].contains(&"") {
            return Err(malformed());
        }
        let found = match tier {
            DISCOVERED => Self::builder(provider, model).discover().build(),
            tier => Self::lookup(provider, model, tier),
        };
        Ok(found?.with_account(account))
    }
}

pub(super) fn check_provider(name: &str) -> Result<(), TierError> {
    check("provider", name, &['/', '#'])
}

pub(super) fn check_model(name: &str) -> Result<(), TierError> {
    check("model", name, &['#'])
}

pub(super) fn check_tier(name: &str) -> Result<(), TierError> {
    check("tier", name, &['@', '#'])
}

/// A pool is not part of the text form, so any name will do.
pub(super) fn check_pool(name: &str) -> Result<(), TierError> {
    check("pool", name, &[])
}

fn check(part: &'static str, name: &str, separators: &[char]) -> Result<(), TierError> {
    if name.is_empty() {
        return Err(TierError::EmptyName { part });
    }
    match name.chars().find(|c| separators.contains(c)) {
        Some(separator) => Err(TierError::Separator {
            part,
            name: name.to_owned(),
            separator,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::catalogue::Catalogue;

    #[test]
    fn every_catalogue_tier_is_read_back_from_its_text() {
        for row in Catalogue::builtin().rows() {
            let tier = row.tier().clone();
            assert_eq!(tier.to_string().parse(), Ok(tier.clone()));
            let labelled = tier.with_account("ops@example.com/#1");
            assert_eq!(labelled.to_string().parse(), Ok(labelled));
        }
    }

    #[test]
    fn what_is_not_of_the_form_says_so() {
        for text in [
            "",
            "openai",
            "openai/gpt-4o",
            "gpt-4o@tier1",
            "/m@t",
            "p/@t",
            "p/m@",
            "p/#m@t",
        ] {
            let expected = TierError::Malformed {
                text: text.to_owned(),
            };
            assert_eq!(text.parse::<Tier>(), Err(expected));
        }
    }

    #[test]
    fn names_that_could_not_be_read_back_are_refused() {
        let build = |provider: &str, model: &str, tier: &str| {
            Tier::builder(provider, model).tier(tier).build()
        };
        assert!(build("openrouter", "meta/llama@fast", "a/b").is_ok());

        let empty = |part| Err(TierError::EmptyName { part });
        assert_eq!(build("", "m", "t"), empty("provider"));
        assert_eq!(build("p", "", "t"), empty("model"));
        assert_eq!(build("p", "m", ""), empty("tier"));
        assert_eq!(Tier::builder("p", "m").pool("").build(), empty("pool"));

        for (provider, model, tier) in [
            ("a/b", "m", "t"),
            ("a#b", "m", "t"),
            ("p", "m#", "t"),
            ("p", "m", "a@b"),
            ("p", "m", "#"),
        ] {
            let built = build(provider, model, tier);
            assert!(
                matches!(built, Err(TierError::Separator { .. })),
                "{built:?}"
            );
        }
    }
}
