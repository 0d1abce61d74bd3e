//! Tiers as users meet them: looked up, built, named in a line of text, and kept in a file.

use std::time::Duration;

use proactive_rate_limit::{Charge, Limit, Margin, Tier, TierError};

fn lookup(provider: &str, model: &str, tier: &str) -> Tier {
    Tier::lookup(provider, model, tier).unwrap()
}

#[test]
fn the_catalogue_has_the_published_numbers() {
    let tier = lookup("openai", "gpt-4o-mini", "tier1");
    assert_eq!(
        tier.limits(),
        [
            Limit::requests(500).per_minute(),
            Limit::requests(10_000).per_day(),
            Limit::tokens(200_000).per_minute(),
        ]
    );
    assert_eq!(tier.charge(), Charge::Reserved);
    assert_eq!(tier.assumed_output_tokens(), 1024);

    let tier = lookup("anthropic", "claude-fable-5", "build");
    assert_eq!(
        tier.limits(),
        [
            Limit::requests(2_000).per_minute(),
            Limit::input_tokens(1_500_000).per_minute(),
            Limit::output_tokens(300_000).per_minute(),
        ]
    );
    assert_eq!(tier.charge(), Charge::Actual);

    let sonnet = |tier| {
        lookup("anthropic", "claude-sonnet-4-5", tier)
            .limits()
            .to_vec()
    };
    assert_eq!(sonnet("tier1")[0], Limit::requests(50).per_minute());
    assert_eq!(sonnet("start")[0], Limit::requests(1_000).per_minute());
}

#[test]
fn models_without_an_answer_reserve_none() {
    for model in ["text-embedding-3-small", "omni-moderation"] {
        assert_eq!(lookup("openai", model, "tier1").assumed_output_tokens(), 0);
    }
}

#[test]
fn families_with_a_combined_limit_share_a_pool() {
    let pool = |model| lookup("anthropic", model, "scale").pool().to_owned();
    assert_eq!(pool("claude-opus-4-8"), pool("claude-opus-4-5"));
    assert_eq!(pool("claude-sonnet-4-6"), pool("claude-sonnet-4-5"));
    assert_eq!(pool("claude-fable-5-1"), pool("claude-fable-5"));
    assert_ne!(pool("claude-opus-5-5"), pool("claude-opus-5"));
    assert_ne!(pool("claude-opus-4-5"), pool("claude-sonnet-4-5"));
    assert_eq!(pool("claude-haiku-4-5"), "claude-haiku-4-5");
}

#[test]
fn long_context_requests_draw_on_a_pool_of_their_own() {
    let short = lookup("openai", "gpt-5.5", "tier2");
    let long = lookup("openai", "gpt-5.5", "tier2-long-context");
    assert_eq!(short.model(), long.model());
    assert_ne!(short.pool(), long.pool());
}

#[test]
fn case_and_snapshots_do_not_matter() {
    let tier = lookup("openai", "gpt-4o-mini", "tier1");
    assert_eq!(lookup("OpenAI", "GPT-4o-Mini", "Tier1"), tier);
    assert_eq!(lookup("openai", "gpt-4o-mini-2024-07-18", "tier1"), tier);
    assert_eq!(
        lookup("anthropic", "claude-haiku-4-5-20251001", "start"),
        lookup("anthropic", "claude-haiku-4-5", "start")
    );
}

#[test]
fn what_is_unknown_is_answered_with_what_is_known() {
    let error = Tier::lookup("opnai", "gpt-4o", "tier1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no catalogue rows for provider \"opnai\", only for openai and anthropic \
         (`Tier::builder` takes any provider)"
    );

    let error = Tier::lookup("openai", "gpt-4o-mni", "tier1").unwrap_err();
    assert_eq!(
        error,
        TierError::UnknownModel {
            provider: "openai".to_owned(),
            model: "gpt-4o-mni".to_owned(),
            near: vec!["gpt-4o-mini".to_owned()],
        }
    );

    let error = Tier::lookup("openai", "llama", "tier1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no catalogue row for openai model \"llama\" (`Tier::builder` takes any model)"
    );

    let error = Tier::lookup("OpenAI", "GPT-6-luna", "tier5").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no catalogue row for tier \"tier5\" of openai model gpt-6-luna, only for tier1 and tier2 \
         (`Tier::builder` takes any tier)"
    );
}

#[test]
fn near_matches_are_few_and_plausible() {
    let near = |provider, model| match Tier::lookup(provider, model, "x") {
        Err(TierError::UnknownModel { near, .. }) => near,
        other => panic!("{other:?}"),
    };
    assert_eq!(near("anthropic", "claude-haiku-4.5"), ["claude-haiku-4-5"]);
    assert_eq!(near("anthropic", "claude-opus-4-9").len(), 3);
    assert_eq!(near("openai", "gpt-4o-mni-2024-07-18"), ["gpt-4o-mini"]);
    assert_eq!(near("openai", "gpt-6"), ["gpt-6-sol", "gpt-6-luna"]);
}

#[test]
fn a_line_of_text_names_a_tier_and_an_account() {
    let tier: Tier = "OpenAI/gpt-4o-2024-08-06@TIER1#a/b@c#d".parse().unwrap();
    assert_eq!(tier.account(), Some("a/b@c#d"));
    assert_eq!(tier.to_string(), "openai/gpt-4o@tier1#a/b@c#d");

    let own = Tier::builder("openrouter", "meta/llama@fast")
        .build()
        .unwrap();
    assert_eq!(own.to_string(), "openrouter/meta/llama@fast@custom");
    assert_eq!(
        own.to_string().parse::<Tier>().unwrap_err().to_string(),
        "no catalogue rows for provider \"openrouter\", only for openai and anthropic \
         (`Tier::builder` takes any provider)"
    );
}

#[test]
fn a_margin_changes_every_limit_per_window() {
    let tier = Tier::builder("acme", "large")
        .limit(Limit::requests(100).per_minute())
        .limit(Limit::tokens(1_000).per(Duration::from_secs(10)))
        .limit(Limit::concurrent(10))
        .build()
        .unwrap()
        .with_margin(Margin::Percent(10));
    let effective: Vec<_> = tier.limits().iter().map(Limit::effective).collect();
    assert_eq!(effective, [90, 900, 10]);
}

#[test]
fn a_built_tier_can_be_adjusted() {
    let tier = lookup("openai", "gpt-4o", "tier1")
        .with_account("team-a")
        .with_charge(Charge::Actual)
        .with_assumed_output_tokens(4_096);
    assert_eq!(tier.account(), Some("team-a"));
    assert_eq!(tier.charge(), Charge::Actual);
    assert_eq!(tier.assumed_output_tokens(), 4_096);
    assert_eq!(tier.with_account("").account(), None);
}

#[cfg(feature = "serde")]
mod serialized {
    use super::*;

    #[test]
    fn a_tier_is_read_back_as_it_was() {
        for tier in [
            lookup("openai", "gpt-4o-mini", "tier1").with_account("team-a"),
            lookup("anthropic", "claude-opus-4-5", "scale").with_margin(Margin::Percent(5)),
            Tier::builder("acme", "in flight only")
                .limit(Limit::concurrent(4))
                .charge(Charge::Actual)
                .assumed_output_tokens(0)
                .build()
                .unwrap(),
            Tier::builder("ollama", "unlimited").build().unwrap(),
        ] {
            let json = serde_json::to_string(&tier).unwrap();
            assert_eq!(serde_json::from_str::<Tier>(&json).unwrap(), tier, "{json}");
        }
    }

    #[test]
    fn what_is_left_out_defaults_as_in_the_builder() {
        let tier: Tier =
            serde_json::from_str(r#"{"provider":"anthropic","model":"m","limits":[]}"#).unwrap();
        assert_eq!(tier, Tier::builder("anthropic", "m").build().unwrap());
    }

    #[test]
    fn reading_checks_what_building_checks() {
        let rpm = r#"{"meter":"requests","amount":5,"window_seconds":60}"#;
        for (json, complaint) in [
            (
                r#"{"provider":"","model":"m","limits":[]}"#.to_owned(),
                "the provider of a tier must not be empty",
            ),
            (
                r#"{"provider":"a/b","model":"m","limits":[]}"#.to_owned(),
                "must not contain '/'",
            ),
            (
                format!(r#"{{"provider":"p","model":"m","limits":[{rpm},{rpm}]}}"#),
                "limit the same thing over the same window",
            ),
            (
                r#"{"provider":"p","model":"m"}"#.to_owned(),
                "missing field `limits`",
            ),
            (
                r#"{"provider":"p","model":"m","limits":[],"limit":[]}"#.to_owned(),
                "unknown field `limit`",
            ),
        ] {
            let error = serde_json::from_str::<Tier>(&json).unwrap_err().to_string();
            assert!(error.contains(complaint), "{json}: {error}");
        }
    }
}
