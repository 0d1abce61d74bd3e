use std::sync::LazyLock;

use super::{Catalogue, CatalogueRow, compact};
use crate::tier::Tier;
use crate::tier::snapshot::is_date;

pub(super) static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    rows: rows(LIMITS).filter_map(row).collect(),
});

const LIMITS: &str = include_str!("limits.csv");
const CONTEXTS: &str = include_str!("contexts.csv");

const NONE: &str = "-";

/// The lines of a table after its header.
fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .skip(1)
}

/// `None` for a line that is not a row. The tests see to it that there is none such.
fn row(line: &'static str) -> Option<CatalogueRow> {
    let fields: Vec<_> = line.split(',').collect();
    let &[provider, names, tier, pool, limits, output, source, date] = fields.as_slice() else {
        return None;
    };
    if source.is_empty() || source == NONE || !is_date(date) {
        return None;
    }
    let mut names = names.split('|');
    let model = names.next()?;
    let limits: Option<Vec<_>> = limits.split(';').map(compact::limit).collect();
    let mut builder = Tier::builder(provider, model).tier(tier).limits(limits?);
    if pool != NONE {
        builder = builder.pool(pool);
    }
    if output != NONE {
        builder = builder.assumed_output_tokens(output.parse().ok()?);
    }
    if let Some(tokens) = context(provider, model) {
        builder = builder.context_window(tokens);
    }
    Some(CatalogueRow {
        tier: builder.build().ok()?,
        aliases: names.map(str::to_owned).collect(),
        source: Some(source.to_owned()),
        date: Some(date.to_owned()),
    })
}

fn context(provider: &str, model: &str) -> Option<u64> {
    rows(CONTEXTS).find_map(|line| {
        let tokens = line.strip_prefix(provider)?.strip_prefix(',')?;
        tokens.strip_prefix(model)?.strip_prefix(',')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn header(table: &str) -> Option<&str> {
        table.lines().find(|line| !line.starts_with('#'))
    }

    #[test]
    fn the_headers_name_the_columns() {
        assert_eq!(
            header(LIMITS),
            Some("provider,model,tier,pool,limits,output,source,date")
        );
        assert_eq!(header(CONTEXTS), Some("provider,model,tokens"));
    }

    #[test]
    fn every_row_is_a_dated_tier_with_limits() {
        for line in rows(LIMITS) {
            let row = row(line).unwrap_or_else(|| panic!("malformed: {line}"));
            assert!(!row.tier.limits().is_empty(), "{line}");
            assert!(row.source.is_some() && row.date.is_some(), "{line}");
        }
        assert_eq!(BUILTIN.rows.len(), rows(LIMITS).count());
    }

    #[test]
    fn every_context_window_is_that_of_a_model_with_rows() {
        for line in rows(CONTEXTS) {
            let fields: Vec<_> = line.split(',').collect();
            let &[provider, model, tokens] = fields.as_slice() else {
                panic!("malformed: {line}");
            };
            let named = |row: &&CatalogueRow| row.tier.provider() == provider && row.is_for(model);
            assert!(BUILTIN.rows().any(|row| named(&row)), "{line}");
            assert!(
                tokens.parse::<u64>().is_ok_and(|tokens| tokens > 0),
                "{line}"
            );
        }
    }

    #[test]
    fn names_are_in_the_case_they_are_compared_in() {
        for row in BUILTIN.rows() {
            let text = row.tier.to_string();
            assert_eq!(text, text.to_lowercase());
            for alias in row.aliases() {
                assert_eq!(*alias, alias.to_lowercase());
            }
        }
    }

    #[test]
    fn no_name_means_two_rows() {
        let mut seen = HashSet::new();
        for row in BUILTIN.rows() {
            let aliases = row.aliases().iter().map(String::as_str);
            for name in [row.tier.model()].into_iter().chain(aliases) {
                let key = (row.tier.provider(), name, row.tier.name());
                assert!(seen.insert(key), "{key:?}");
            }
        }
    }

    #[test]
    fn models_that_share_a_pool_agree_on_its_limits() {
        let mut pools = HashMap::new();
        for row in BUILTIN.rows() {
            let tier = &row.tier;
            let key = (tier.provider(), tier.pool(), tier.name());
            let limits = pools.entry(key).or_insert(tier.limits());
            assert_eq!(*limits, tier.limits(), "{tier}");
        }
    }

    #[test]
    fn malformed_rows_are_no_rows() {
        assert!(row("p,m|n,t,-,1 rpm; 2 tpm,-,page,2026-10").is_some());
        for bad in [
            "",
            "p,m,t",
            "p,m,t,-,1 rpm,-,page,2026-10,more",
            "p,m,t,-,many rpm,-,page,2026-10",
            "p,m,t,-,,-,page,2026-10",
            "p,m,t,-,-1 rpm,-,page,2026-10",
            "p,m,t,-,0 rpm,-,page,2026-10",
            "p,m,t,-,1 rpm,few,page,2026-10",
            "p,m,t,-,1 rpm,-,,2026-10",
            "p,m,t,-,1 rpm,-,page,-",
            "p,m,t,-,1 rpm,-,page,lately",
        ] {
            assert!(row(bad).is_none(), "{bad}");
        }
    }
}
