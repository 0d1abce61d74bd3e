/// What a provider finally counts for a request: what it used, or what was reserved for it.
///
/// It decides what a settlement gives back and from when tokens count. A server that gives nothing
/// back, met with [`Charge::Actual`], answers 429; one that does, met with [`Charge::Reserved`],
/// only leaves quota unused. So where a provider does not document it, `Reserved` is the safe one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Charge {
    /// The tokens the response reports. Generated tokens may be counted as late as the end of the
    /// body, so they are held at their full reserve until then.
    Actual,
    /// What the request asked for when it was admitted. Nothing is given back.
    Reserved,
}

impl Charge {
    /// What is known of a provider, by its lower-case name. Where nothing is, nothing comes back.
    ///
    /// - Anthropic: "counting only the actual tokens generated" (rate limits page, 2026-10-04).
    /// - Bedrock: what a request reserved and did not use is released at its end (quotas page, read
    ///   2026-11-23).
    /// - Mistral: the actual total is debited, whatever `max_tokens` was (measured 2026-08-18).
    ///
    /// OpenAI documents what a request reserves, and not whether any of it is given back; Azure, that
    /// nothing is within the minute.
    pub(crate) fn documented_for(provider: &str) -> Self {
        match provider {
            "anthropic" | "bedrock" | "mistral" => Self::Actual,
            _ => Self::Reserved,
        }
    }
}
