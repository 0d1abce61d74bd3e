use super::failure::Failure;

/// Which model is tried after one has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// As they were added.
    #[default]
    Sequential,
    /// By what failed: for a prompt that is too long, the smallest larger context window; for a
    /// throttle or a quota, a provider that has not failed before those that have. Else as they were
    /// added.
    Smart,
    /// The least [cost per token](super::Model::cost_per_token), and those of unknown cost last.
    Cheapest,
}

/// What a strategy knows of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits<'a> {
    pub(super) provider: &'a str,
    pub(super) context_window: Option<u64>,
    pub(super) cost_per_token: Option<f64>,
}

impl Strategy {
    /// Puts `models` in the order in which they are to be tried after all of `failed`.
    pub(super) fn sort<'a>(
        self,
        failed: &[(usize, Failure)],
        models: &mut [usize],
        traits: impl Fn(usize) -> Traits<'a>,
    ) {
        let Some(&(last, failure)) = failed.last() else {
            return;
        };
        match (self, failure) {
            (Self::Sequential, _) => {}
            (Self::Cheapest, _) => models.sort_by(|a, b| {
                let cost = |model| traits(model).cost_per_token.unwrap_or(f64::INFINITY);
                cost(*a).total_cmp(&cost(*b))
            }),
            (Self::Smart, Failure::Context) => models.sort_by_key(|model| {
                let window = traits(*model).context_window;
                let is_larger = window > traits(last).context_window;
                (window.is_none(), !is_larger, window)
            }),
            (Self::Smart, Failure::RateLimit | Failure::Quota) => {
                models.sort_by_key(|model| {
                    let provider = traits(*model).provider;
                    failed.iter().any(|(failed, failure)| {
                        *failure != Failure::Context && traits(*failed).provider == provider
                    })
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn model(
        provider: &str,
        context_window: Option<u64>,
        cost_per_token: Option<f64>,
    ) -> Traits<'_> {
        Traits {
            provider,
            context_window,
            cost_per_token,
        }
    }

    const MODELS: [Traits<'static>; 6] = [
        model("openai", Some(128), Some(5.0)),
        model("openai", None, None),
        model("openai", Some(1_000), Some(9.0)),
        model("groq", Some(64), Some(0.5)),
        model("gemini", Some(200), Some(2.0)),
        model("gemini", Some(100), Some(0.5)),
    ];

    #[test]
    fn each_has_its_order() {
        let order = |strategy: Strategy, failure| {
            let mut order = [1, 2, 3, 4, 5];
            strategy.sort(&[(0, failure)], &mut order, |model| MODELS[model]);
            order
        };
        for failure in [Failure::RateLimit, Failure::Quota, Failure::Context] {
            assert_eq!(order(Strategy::Sequential, failure), [1, 2, 3, 4, 5]);
            assert_eq!(order(Strategy::Cheapest, failure), [3, 5, 4, 2, 1]);
        }
        assert_eq!(order(Strategy::Smart, Failure::RateLimit), [3, 4, 5, 1, 2]);
        assert_eq!(order(Strategy::Smart, Failure::Quota), [3, 4, 5, 1, 2]);
        let mut order_of_both = [1, 2, 4];
        let both = &[(0, Failure::Quota), (3, Failure::RateLimit)];
        Strategy::Smart.sort(both, &mut order_of_both, |model| MODELS[model]);
        assert_eq!(order_of_both, [4, 1, 2], "neither openai nor groq");
        // A context that is too small says nothing of the provider.
        let mut order_of_rest = [1, 2, 4];
        let rest = &[(0, Failure::Context), (3, Failure::RateLimit)];
        Strategy::Smart.sort(rest, &mut order_of_rest, |model| MODELS[model]);
        assert_eq!(order_of_rest, [1, 2, 4]);
        assert_eq!(order(Strategy::Smart, Failure::Context), [4, 2, 3, 5, 1]);
    }
}
