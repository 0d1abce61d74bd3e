use std::ops::RangeInclusive;

/// The model that a snapshot (`-2024-07-18`, `-20251001`) or the alias `-latest` belongs to: they
/// draw on its budget. Any other name is returned as it is.
pub(super) fn base_model(model: &str) -> &str {
    let without = |suffix_len: usize| {
        let (base, suffix) = model.split_at_checked(model.len().checked_sub(suffix_len)?)?;
        let version = suffix.strip_prefix('-')?;
        is_snapshot(version).then_some(base)
    };
    ["-latest", "-YYYYMMDD", "-YYYY-MM-DD"]
        .iter()
        .find_map(|suffix| without(suffix.len()))
        .unwrap_or(model)
}

fn is_snapshot(version: &str) -> bool {
    if version.eq_ignore_ascii_case("latest") {
        return true;
    }
    match (version.get(..4), version.get(4..6), version.get(6..)) {
        (Some(year), Some(month), Some(day)) if version.len() == 8 => {
            is_date(&format!("{year}-{month}-{day}"))
        }
        _ => version.len() == 10 && is_date(version),
    }
}

/// Whether this is a date, as exact as it is known: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
pub(super) fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    parts
        .next()
        .is_some_and(|year| is_number(year, 4, 2000..=2999))
        && parts.next().is_none_or(|month| is_number(month, 2, 1..=12))
        && parts.next().is_none_or(|day| is_number(day, 2, 1..=31))
}

fn is_number(text: &str, digits: usize, range: RangeInclusive<u16>) -> bool {
    text.len() == digits
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse().is_ok_and(|number| range.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_belongs_to_its_model() {
        assert_eq!(base_model("gpt-4o-mini-2024-07-18"), "gpt-4o-mini");
        assert_eq!(base_model("claude-haiku-4-5-20251001"), "claude-haiku-4-5");
        assert_eq!(base_model("omni-moderation-latest"), "omni-moderation");
    }

    #[test]
    fn other_numbers_are_part_of_the_name() {
        for model in [
            "",
            "latest",
            "20251001",
            "gpt-4o",
            "claude-opus-4-5",
            "claude-haiku-4-5-20251301",
            "model-2024-07-32",
            "model-2024-07",
            "model-12345678901",
            "mødel-2024ø718",
        ] {
            assert_eq!(base_model(model), model);
        }
    }

    #[test]
    fn dates_may_be_vague_but_not_wrong() {
        for date in ["2026", "2026-10", "2026-10-04"] {
            assert!(is_date(date), "{date}");
        }
        for text in [
            "",
            "-",
            "26",
            "1026",
            "2026-1",
            "2026-13",
            "2026-10-",
            "2026-10-04-1",
            "+026",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
