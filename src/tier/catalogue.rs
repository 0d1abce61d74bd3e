//! The limits that providers publish, as a table in this crate.
//!
//! [`Tier::lookup`](crate::Tier::lookup) reads it. Published numbers age and accounts differ, so
//! they are defaults to override; each row says where it is from and how old it is. This is the
//! whole table, the file `src/tier/catalogue.csv`:
//!
#![doc = concat!("```text\n", include_str!("catalogue.csv"), "```")]

use super::near::near_matches;
use super::snapshot::{base_model, is_date};
use super::{Limit, Tier, TierError};

const CATALOGUE: &str = include_str!("catalogue.csv");

const HEADER: &str = "provider,model,tier,pool,rpm,rpd,tpm,itpm,otpm,output,source,date";

const NONE: &str = "-";

/// One line of the table. Scanned anew for each lookup: that takes microseconds, once per client.
struct Row {
    provider: &'static str,
    model: &'static str,
    tier: &'static str,
    pool: Option<&'static str>,
    limits: Vec<Limit>,
    assumed_output_tokens: Option<u64>,
}

impl Row {
    /// `None` for a line that is not a row. The tests see to it that there is none such.
    fn parse(line: &'static str) -> Option<Self> {
        let fields: Vec<_> = line.split(',').collect();
        let &[
            provider,
            model,
            tier,
            pool,
            rpm,
            rpd,
            tpm,
            itpm,
            otpm,
            output,
            source,
            date,
        ] = fields.as_slice()
        else {
            return None;
        };
        if source.is_empty() || source == NONE || !is_date(date) {
            return None;
        }
        let limits = [
            optional(rpm)?.map(|amount| Limit::requests(amount).per_minute()),
            optional(rpd)?.map(|amount| Limit::requests(amount).per_day()),
            optional(tpm)?.map(|amount| Limit::tokens(amount).per_minute()),
            optional(itpm)?.map(|amount| Limit::input_tokens(amount).per_minute()),
            optional(otpm)?.map(|amount| Limit::output_tokens(amount).per_minute()),
        ];
        Some(Self {
            provider,
            model,
            tier,
            pool: Some(pool).filter(|pool| *pool != NONE),
            limits: limits.into_iter().flatten().collect(),
            assumed_output_tokens: optional(output)?,
        })
    }

    fn to_tier(&self) -> Result<Tier, TierError> {
        Tier::builder(self.provider, self.model)
            .pool(self.pool.unwrap_or(self.model))
            .tier(self.tier)
            .limits(self.limits.iter().copied())
            .assumed_output_tokens(
                self.assumed_output_tokens
                    .unwrap_or(Tier::DEFAULT_ASSUMED_OUTPUT_TOKENS),
            )
            .build()
    }
}

/// `Some(None)` where the field says that there is no number, `None` where it says nothing sensible.
fn optional(field: &str) -> Option<Option<u64>> {
    match field {
        NONE => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    CATALOGUE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && *line != HEADER)
}

fn rows() -> impl Iterator<Item = Row> {
    lines().filter_map(Row::parse)
}

/// Every tier there is.
#[cfg(test)]
pub(super) fn tiers() -> impl Iterator<Item = Result<Tier, TierError>> {
    rows().map(|row| row.to_tier())
}

pub(super) fn lookup(provider: &str, model: &str, tier: &str) -> Result<Tier, TierError> {
    let rows: Vec<_> = rows().collect();

    let of_provider = named(&rows, |row| row.provider, provider);
    let Some(provider) = of_provider.first().map(|row| row.provider) else {
        return Err(TierError::UnknownProvider {
            name: provider.to_owned(),
            known: distinct(rows.iter().map(|row| row.provider)),
        });
    };

    let mut of_model = named(of_provider.iter().copied(), |row| row.model, model);
    if of_model.is_empty() {
        of_model = named(
            of_provider.iter().copied(),
            |row| row.model,
            base_model(model),
        );
    }
    let Some(model) = of_model.first().map(|row| row.model) else {
        let known = distinct(of_provider.iter().map(|row| row.model));
        return Err(TierError::UnknownModel {
            provider: provider.to_owned(),
            model: model.to_owned(),
            near: near_matches(base_model(model), &known),
        });
    };

    match named(of_model.iter().copied(), |row| row.tier, tier).first() {
        Some(row) => row.to_tier(),
        None => Err(TierError::UnknownTier {
            provider: provider.to_owned(),
            model: model.to_owned(),
            tier: tier.to_owned(),
            known: distinct(of_model.iter().map(|row| row.tier)),
        }),
    }
}

/// The rows that have `wanted` in one column, in upper or lower case.
fn named<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    column: impl Fn(&Row) -> &'static str,
    wanted: &str,
) -> Vec<&'a Row> {
    rows.into_iter()
        .filter(|row| column(row).eq_ignore_ascii_case(wanted))
        .collect()
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

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn the_header_names_the_columns() {
        let header = CATALOGUE.lines().find(|line| !line.starts_with('#'));
        assert_eq!(header, Some(HEADER));
    }

    #[test]
    fn every_row_is_a_dated_tier_with_limits() {
        for line in lines() {
            let row = Row::parse(line).unwrap_or_else(|| panic!("malformed: {line}"));
            let tier = row
                .to_tier()
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(!tier.limits().is_empty(), "{line}");
        }
    }

    #[test]
    fn names_are_in_the_case_they_are_compared_in() {
        for tier in tiers() {
            let text = tier.unwrap().to_string();
            assert_eq!(text, text.to_lowercase());
        }
    }

    #[test]
    fn no_row_is_there_twice() {
        let mut seen = HashSet::new();
        for row in rows() {
            let key = (row.provider, row.model, row.tier);
            assert!(seen.insert(key), "{key:?}");
        }
    }

    #[test]
    fn models_that_share_a_pool_agree_on_its_limits() {
        let mut pools = HashMap::new();
        for tier in tiers() {
            let tier = tier.unwrap();
            let key = (
                tier.provider().to_owned(),
                tier.pool().to_owned(),
                tier.name().to_owned(),
            );
            let limits = pools.entry(key).or_insert_with(|| tier.limits().to_vec());
            assert_eq!(limits, tier.limits(), "{tier}");
        }
    }

    #[test]
    fn malformed_rows_are_no_rows() {
        let good = "p,m,t,-,1,-,-,-,-,-,page,2026-10";
        assert!(Row::parse(good).is_some());
        for bad in [
            "",
            "p,m,t",
            "p,m,t,-,1,-,-,-,-,-,page,2026-10,more",
            "p,m,t,-,many,-,-,-,-,-,page,2026-10",
            "p,m,t,-,,-,-,-,-,-,page,2026-10",
            "p,m,t,-,-1,-,-,-,-,-,page,2026-10",
            "p,m,t,-,1,-,-,-,-,-,,2026-10",
            "p,m,t,-,1,-,-,-,-,-,page,-",
            "p,m,t,-,1,-,-,-,-,-,page,lately",
        ] {
            assert!(Row::parse(bad).is_none(), "{bad}");
        }
    }
}
