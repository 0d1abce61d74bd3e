//! The limits that providers publish, as a table in this crate, and tables of your own.
//!
//! [`Tier::lookup`](crate::Tier::lookup) reads the built-in one. Published numbers age and accounts
//! differ, so they are defaults to override; each row says where it is from and how old it is.
//!
//! # A table of your own (feature `catalogue-file`)
//!
//! A TOML file overrides rows and adds others:
//!
#![cfg_attr(feature = "catalogue-file", doc = "```")]
#![cfg_attr(not(feature = "catalogue-file"), doc = "```ignore")]
//! use proactive_rate_limit::tier::catalogue::Catalogue;
//!
//! let own = Catalogue::from_toml(
//!     r#"
//!     [[tier]]
//!     provider = "openai"
//!     model = "gpt-4o"
//!     tier = "tier1"
//!     limits = ["800 rpm", "60_000 tpm"]
//!     source = "our console"
//!     date = "2026-11-20"
//!
//!     [[tier]]
//!     provider = "acme"
//!     model = "large"
//!     aliases = ["large-v2"]
//!     limits = ["4 concurrent"]
//!     context_window = 32_000
//!     "#,
//! )?;
//! let catalogue = Catalogue::builtin().clone().overridden_by(own);
//! let tier = catalogue.lookup("openai", "gpt-4o-2024-08-06", "tier1")?;
//! assert_eq!(tier.limits()[0].amount(), 800);
//! let tier = catalogue.lookup("acme", "large-v2", "custom")?;
//! assert_eq!(tier.context_window(), Some(32_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The built-in table
//!
//! This is the whole of it, the file `src/tier/catalogue/limits.csv`:
//!
#![doc = concat!("```text\n", include_str!("catalogue/limits.csv"), "```")]

mod builtin;
mod compact;
#[cfg(feature = "catalogue-file")]
mod file;

#[cfg(feature = "catalogue-file")]
pub use self::file::CatalogueError;
use super::near::near_matches;
use super::snapshot::base_model;
use super::{Tier, TierError};

/// Tiers by provider, model and name, each with its source and date.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    rows: Vec<CatalogueRow>,
}

/// One tier of a [`Catalogue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueRow {
    tier: Tier,
    aliases: Vec<String>,
    source: Option<String>,
    date: Option<String>,
}

impl Catalogue {
    /// What providers publish.
    pub fn builtin() -> &'static Self {
        &builtin::BUILTIN
    }

    /// This catalogue with the rows of another one: a row for the same provider, model and tier
    /// replaces the one that is here.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        let is_replaced = |row: &CatalogueRow| other.rows.iter().any(|new| new.is_same_as(row));
        self.rows.retain(|row| !is_replaced(row));
        // A new model of the other's comes first, as it does in each table.
        let mut rows = other.rows;
        rows.append(&mut self.rows);
        Self { rows }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &CatalogueRow> {
        self.rows.iter()
    }

    /// The limits of a model, as [`Tier::lookup`] finds them in the built-in table.
    ///
    /// Upper and lower case are the same. A dated snapshot and the alias `-latest` stand for the model
    /// they belong to, unless they have a row of their own.
    ///
    /// # Errors
    ///
    /// [`TierError::UnknownProvider`], [`TierError::UnknownModel`] or [`TierError::UnknownTier`],
    /// each with what the catalogue has instead.
    pub fn lookup(&self, provider: &str, model: &str, tier: &str) -> Result<Tier, TierError> {
        let of_provider: Vec<_> = self
            .rows()
            .filter(|row| row.tier.provider().eq_ignore_ascii_case(provider))
            .collect();
        let Some(first) = of_provider.first() else {
            return Err(TierError::UnknownProvider {
                name: provider.to_owned(),
                known: distinct(self.rows().map(|row| row.tier.provider())),
            });
        };
        let provider = first.tier.provider();

        let named = |model: &str| -> Vec<&CatalogueRow> {
            let rows = of_provider.iter().copied();
            rows.filter(|row| row.is_for(model)).collect()
        };
        let mut of_model = named(model);
        if of_model.is_empty() {
            of_model = named(base_model(model));
        }
        let Some(first) = of_model.first() else {
            let known = distinct(of_provider.iter().map(|row| row.tier.model()));
            return Err(TierError::UnknownModel {
                provider: provider.to_owned(),
                model: model.to_owned(),
                near: near_matches(base_model(model), &known),
            });
        };

        let found = of_model
            .iter()
            .find(|row| row.tier.name().eq_ignore_ascii_case(tier));
        match found {
            Some(row) => Ok(row.tier.clone()),
            None => Err(TierError::UnknownTier {
                provider: provider.to_owned(),
                model: first.tier.model().to_owned(),
                tier: tier.to_owned(),
                known: distinct(of_model.iter().map(|row| row.tier.name())),
            }),
        }
    }
}

impl CatalogueRow {
    /// The tier.
    pub fn tier(&self) -> &Tier {
        &self.tier
    }

    /// Other names of its model.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Where its numbers are from. Every built-in row says so.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// How old its numbers are: a day, a month or a year. Every built-in row says so.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    fn is_for(&self, model: &str) -> bool {
        let is_it = |name: &str| name.eq_ignore_ascii_case(model);
        is_it(self.tier.model()) || self.aliases.iter().any(|alias| is_it(alias))
    }

    /// Whether it is for a model, of the same tier, that `other` names as well.
    #[cfg(feature = "catalogue-file")]
    fn is_also(&self, other: &Self) -> bool {
        let mut names = other.aliases.iter().map(String::as_str);
        self.is_of_tier(other)
            && (self.is_for(other.tier.model()) || names.any(|name| self.is_for(name)))
    }

    /// Whether it is of the same pool as `other`, and says otherwise of that.
    #[cfg(feature = "catalogue-file")]
    fn contradicts(&self, other: &Self) -> bool {
        let (tier, of) = (&self.tier, &other.tier);
        self.is_of_tier(other)
            && tier.pool() == of.pool()
            && (tier.limits() != of.limits() || tier.charge() != of.charge())
    }

    #[cfg(feature = "catalogue-file")]
    fn is_of_tier(&self, other: &Self) -> bool {
        self.tier.provider() == other.tier.provider()
            && self.tier.name().eq_ignore_ascii_case(other.tier.name())
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let (tier, other) = (&self.tier, &other.tier);
        tier.provider() == other.provider()
            && tier.model().eq_ignore_ascii_case(other.model())
            && tier.name().eq_ignore_ascii_case(other.name())
    }
}

/// The names in the order of their first row.
fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut distinct = Vec::<String>::new();
    for name in names {
        if !distinct.iter().any(|known| known == name) {
            distinct.push(name.to_owned());
        }
    }
    distinct
}
