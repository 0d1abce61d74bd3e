/// Typing errors stay above this. Models of one family often do not: `gpt-4o` and `gpt-4o-mini` are
/// different models, and neither is what was meant by the other.
const SIMILAR: f64 = 0.75;

const MOST: usize = 3;

/// The candidates that `wanted` may have been meant to be, the most similar first.
///
/// A candidate that contains `wanted` counts as similar whatever its length: `opus-5` is a way to
/// ask for `claude-opus-5`. Equally similar ones keep their order.
pub(super) fn near_matches(wanted: &str, candidates: &[String]) -> Vec<String> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let wanted = wanted.to_ascii_lowercase();
    let mut scored: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let score = strsim::normalized_damerau_levenshtein(&wanted, candidate);
            (score, candidate)
        })
        .filter(|(score, candidate)| *score >= SIMILAR || candidate.contains(&wanted))
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored
        .into_iter()
        .take(MOST)
        .map(|(_, candidate)| candidate.clone())
        .collect()
}

#[cfg(test)]
mod tests {

    const MODELS: [&str; 6] = [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-5-mini",
        "gpt-5.5",
        "claude-opus-4-8",
        "claude-opus-4-7",
    ];

    fn near_matches(
        wanted: &str,
        candidates: impl IntoIterator<Item = &'static str>,
    ) -> Vec<String> {
        let candidates: Vec<_> = candidates.into_iter().map(str::to_owned).collect();
        super::near_matches(wanted, &candidates)
    }

    #[test]
    fn typing_errors_are_recognised() {
        assert_eq!(near_matches("gpt-4o-mni", MODELS), ["gpt-4o-mini"]);
        assert_eq!(near_matches("gtp-4o", MODELS), ["gpt-4o"]);
        assert_eq!(near_matches("gpt4omini", MODELS), ["gpt-4o-mini"]);
        assert_eq!(near_matches("GPT4o", MODELS), ["gpt-4o"]);
    }

    #[test]
    fn a_part_of_a_name_is_recognised() {
        assert_eq!(
            near_matches("opus", MODELS),
            ["claude-opus-4-8", "claude-opus-4-7"]
        );
    }

    #[test]
    fn the_most_similar_comes_first_and_ties_keep_their_order() {
        assert_eq!(near_matches("gpt-4o-min", MODELS)[0], "gpt-4o-mini");
        assert_eq!(
            near_matches("claude-opus-4-9", MODELS),
            ["claude-opus-4-8", "claude-opus-4-7"]
        );
        assert_eq!(
            near_matches("gpt", ["gpt-a", "gpt-b", "gpt-c", "gpt-d"]).len(),
            3
        );
    }

    #[test]
    fn strangers_are_not_suggested() {
        assert!(near_matches("llama-3.1-8b", MODELS).is_empty());
        assert!(near_matches("", MODELS).is_empty());
    }
}
