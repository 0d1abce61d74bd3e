/// With the space that follows each, a word is four characters long: one token, by the estimate
/// that prompts are counted with.
const WORDS: [&str; 12] = [
    "the ", "cat ", "saw ", "one ", "dog ", "and ", "ran ", "off ", "but ", "now ", "all ", "is. ",
];

/// The text of one token of an answer.
pub(super) fn word(token: u64) -> &'static str {
    WORDS[(token % WORDS.len() as u64) as usize]
}

/// An answer of this many tokens.
pub(super) fn text(tokens: u64) -> String {
    (0..tokens).map(word).collect()
}
