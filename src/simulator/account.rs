/// The state of the account at a simulated provider.
///
/// In any but the first state every request is refused, in the words of the provider, and waiting
/// does not help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Account {
    /// Its limits are all that is enforced.
    #[default]
    Active,
    /// Its credit is used up, or a spending cap is reached.
    Exhausted,
    /// The model is not on its plan: every limit is zero.
    NotOnPlan,
}
