//! Tiers as users meet them: looked up, built, named in a line of text, and kept in a file.

use std::time::Duration;

use proactive_rate_limit::tier::catalogue::Catalogue;
use proactive_rate_limit::{Charge, Limit, Margin, Tier, TierError, Zone};

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

/// One row of each provider, and each kind of limit, as its source has it.
#[test]
fn every_provider_has_its_published_numbers() {
    let ten_seconds = Duration::from_secs(10);
    let cases: [(&str, &str, &str, &[Limit]); 22] = [
        (
            "openai",
            "gpt-6-sol",
            "tier5",
            &[
                Limit::requests(15_000).per_minute(),
                Limit::tokens(40_000_000).per_minute(),
            ],
        ),
        // The original's, beside a newer row and without one.
        (
            "openai",
            "gpt-4o",
            "tier1-2025-10",
            &[
                Limit::requests(500).per_minute(),
                Limit::requests(10_000).per_day(),
                Limit::tokens(30_000).per_minute(),
            ],
        ),
        (
            "openai",
            "o1-mini",
            "tier2",
            &[
                Limit::requests(60).per_minute(),
                Limit::requests(2_000).per_day(),
                Limit::tokens(300_000).per_minute(),
            ],
        ),
        (
            "anthropic",
            "claude-sonnet-4-5",
            "tier1",
            &[
                Limit::requests(50).per_minute(),
                Limit::input_tokens(30_000).per_minute(),
                Limit::output_tokens(8_000).per_minute(),
            ],
        ),
        (
            "gemini",
            "gemini-3.7-flash",
            "free",
            &[
                Limit::requests(5).per_minute(),
                Limit::requests(20).per_calendar_day(Zone::PACIFIC),
                Limit::input_tokens(250_000).per_minute(),
            ],
        ),
        // Unlimited tokens and days are no limits.
        (
            "gemini",
            "gemini-2.5-pro",
            "paid",
            &[Limit::requests(1_000).per_minute()],
        ),
        (
            "gemini",
            "gemini-1.5-pro",
            "free",
            &[
                Limit::requests(2).per_minute(),
                Limit::requests(50).per_calendar_day(Zone::PACIFIC),
                Limit::input_tokens(32_768).per_minute(),
            ],
        ),
        (
            "vertex",
            "gemini-flash-lite",
            "tier3",
            &[
                Limit::requests(30_000).per_minute(),
                Limit::tokens(10_000_000).per_minute(),
            ],
        ),
        (
            "azure",
            "gpt-4o-mini",
            "tier1",
            &[
                Limit::requests(20_000).per_minute(),
                Limit::tokens(2_000_000).per_minute(),
            ],
        ),
        (
            "azure",
            "text-embedding-3-small",
            "tier1",
            &[
                Limit::requests(1_000).per(ten_seconds),
                Limit::tokens(1_000_000).per_minute(),
            ],
        ),
        (
            "bedrock",
            "claude",
            "default",
            &[Limit::input_tokens(2_000_000).per_minute()],
        ),
        (
            "groq",
            "openai/gpt-oss-20b",
            "free",
            &[
                Limit::requests(30).per_minute(),
                Limit::requests(1_000).per_day(),
                Limit::tokens(8_000).per_minute(),
                Limit::tokens(200_000).per_day(),
            ],
        ),
        (
            "mistral",
            "ministral-3b-latest",
            "free",
            &[
                Limit::requests(750).per_minute(),
                Limit::tokens(1_300_000).per_minute(),
            ],
        ),
        (
            "cohere",
            "command-r7b-12-2024",
            "trial",
            &[Limit::requests(20).per_minute()],
        ),
        (
            "cohere",
            "rerank",
            "production",
            &[Limit::requests(1_000).per_minute()],
        ),
        (
            "deepseek",
            "deepseek-v4-flash",
            "default",
            &[Limit::concurrent(2_500)],
        ),
        (
            "xai",
            "grok-4.3",
            "tier1",
            &[
                Limit::requests(50).per_second(),
                Limit::tokens(15_000_000).per_minute(),
            ],
        ),
        (
            "together",
            "any",
            "base",
            &[Limit::requests(1).per_second()],
        ),
        (
            "fireworks",
            "any",
            "large",
            &[
                Limit::requests(6_000).per_minute(),
                Limit::input_tokens(5_400_000).per_minute(),
                Limit::output_tokens(216_000).per_minute(),
            ],
        ),
        (
            "openrouter",
            "any",
            "free",
            &[
                Limit::requests(20).per_minute(),
                Limit::requests(50).per_calendar_day(Zone::UTC),
            ],
        ),
        ("ollama", "any", "default", &[Limit::concurrent(1)]),
        (
            "openai",
            "omni-moderation",
            "free",
            &[
                Limit::requests(250).per_minute(),
                Limit::requests(5_000).per_day(),
                Limit::tokens(10_000).per_minute(),
            ],
        ),
    ];
    for (provider, model, tier, limits) in cases {
        assert_eq!(lookup(provider, model, tier).limits(), limits, "{model}");
    }
    for row in Catalogue::builtin().rows() {
        let provider = row.tier().provider();
        assert!(cases.iter().any(|case| case.0 == provider), "{provider}");
    }
}

#[test]
fn context_windows_are_known_of_some() {
    let context = |provider, model, tier| lookup(provider, model, tier).context_window();
    assert_eq!(context("openai", "gpt-4o", "tier1"), Some(128_000));
    assert_eq!(
        context("anthropic", "claude-haiku-4-5", "start"),
        Some(200_000)
    );
    assert_eq!(context("openai", "o1-mini", "tier1"), None);
    let own = Tier::builder("acme", "large")
        .context_window(32_000)
        .build();
    assert_eq!(own.unwrap().context_window(), Some(32_000));
}

mod own_catalogue {
    use proactive_rate_limit::tier::catalogue::CatalogueError;

    use super::*;

    #[test]
    fn overrides_and_extends() {
        let own = Catalogue::from_toml(
            r#"
            [[tier]]
            provider = "OpenAI"
            model = "gpt-4o"
            tier = "tier1"
            limits = ["800 rpm", "60_000 tpm", "9 concurrent"]
            charge = "actual"
            assumed_output_tokens = 50
            pool = "shared"

            [[tier]]
            provider = "acme"
            model = "large"
            aliases = ["big"]
            limits = []
            date = "2026-11"
            "#,
        )
        .unwrap();
        let builtin = Catalogue::builtin();
        let all = builtin.clone().overridden_by(own);
        assert_eq!(all.rows().count(), builtin.rows().count() + 1);
        let tier = all.lookup("openai", "GPT-4o-2024-08-06", "tier1").unwrap();
        assert_eq!(
            tier.limits(),
            [
                Limit::requests(800).per_minute(),
                Limit::tokens(60_000).per_minute(),
                Limit::concurrent(9),
            ]
        );
        assert_eq!((tier.charge(), tier.pool()), (Charge::Actual, "shared"));
        assert_eq!(tier.assumed_output_tokens(), 50);
        assert_eq!(all.lookup("acme", "BIG", "custom").unwrap().limits(), []);
        // What it does not name is as it was.
        assert_eq!(
            all.lookup("openai", "gpt-4o", "tier2"),
            builtin.lookup("openai", "gpt-4o", "tier2")
        );
        assert!(Catalogue::from_toml("").unwrap().rows().next().is_none());
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let row = |rest: &str| {
            let text = format!("[[tier]]\nprovider = \"acme\"\nmodel = \"large\"\n{rest}\n");
            Catalogue::from_toml(&text).unwrap_err().to_string()
        };
        for (rest, complaint) in [
            ("", "missing field `limits`"),
            ("limits = [\"5 rpm\"]\nlimit = []", "unknown field `limit`"),
            (
                "limits = [\"5 rpx\"]",
                "acme/large@custom: \"5 rpx\" is no limit",
            ),
            ("limits = [\"0 rpm\"]", "acme/large@custom: "),
            ("limits = [\"5 rpm\", \"6 rpm\"]", "acme/large@custom: "),
            ("limits = []\ndate = \"lately\"", "\"lately\" is no date"),
            ("limits = []\ntier = \"a@b\"", "must not contain '@'"),
            ("limits = [", "line 4"),
        ] {
            let message = row(rest);
            assert!(message.contains(complaint), "{rest}: {message}");
        }
        let twice = "[[tier]]\nprovider=\"a\"\nmodel=\"m\"\nlimits=[]\n".repeat(2);
        assert_eq!(
            Catalogue::from_toml(&twice).unwrap_err(),
            CatalogueError::Duplicate {
                tier: "a/m@custom".to_owned()
            }
        );
        let row = |rest: &str| format!("[[tier]]\nprovider=\"a\"\n{rest}\n");
        // An alias is a name like any other.
        let aliased =
            row("model=\"m\"\nlimits=[]") + &row("model=\"n\"\naliases=[\"M\"]\nlimits=[]");
        assert!(matches!(
            Catalogue::from_toml(&aliased),
            Err(CatalogueError::Duplicate { tier }) if tier == "a/n@custom"
        ));
        // One pool has one set of limits.
        let pooled = |limit: &str| {
            row("model=\"m\"\npool=\"p\"\nlimits=[\"5 rpm\"]")
                + &row(&format!("model=\"n\"\npool=\"p\"\nlimits=[\"{limit}\"]"))
        };
        assert!(Catalogue::from_toml(&pooled("5 rpm")).is_ok());
        assert_eq!(
            Catalogue::from_toml(&pooled("6 rpm")).unwrap_err(),
            CatalogueError::Pool {
                tier: "a/n@custom".to_owned(),
                pool: "p".to_owned()
            }
        );
    }
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
        "no catalogue rows for provider \"opnai\", only for openai, anthropic, gemini, vertex, azure, \
         bedrock, groq, mistral, cohere, deepseek, xai, together, fireworks, openrouter and ollama \
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
        "no catalogue row for openrouter model \"meta/llama@fast\" (`Tier::builder` takes any model)"
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
