use http::{HeaderMap, HeaderName};

use super::head::Head;
use crate::usage::json::MAX_COUNT;
use crate::usage::{Usage, UsageField};

/// A response header that tells a count of [`Usage`].
///
/// Counts in a body are later and go before it.
#[derive(Clone, Debug)]
pub struct UsageHeader {
    name: HeaderName,
    field: UsageField,
}

impl UsageHeader {
    /// The header `name` tells `field`, as a whole number.
    ///
    /// # Panics
    ///
    /// If `name` is not a header name in lower case; in a `static`, that does not compile.
    pub const fn new(name: &'static str, field: UsageField) -> Self {
        Self {
            name: HeaderName::from_static(name),
            field,
        }
    }

    /// What `headers` tell at the places that `table` names. Of a header that comes more than once, or
    /// is no number, nothing is taken.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use proactive_rate_limit::provider::{UsageHeader, by_name};
    ///
    /// let mut headers = HeaderMap::new();
    /// let count = HeaderValue::from_static("50");
    /// headers.insert("x-amzn-bedrock-input-token-count", count);
    /// let usage = UsageHeader::read(by_name("bedrock").usage_headers(), &headers);
    /// assert_eq!(usage.uncached_input_tokens, Some(50));
    /// ```
    pub fn read(table: &[Self], headers: &HeaderMap) -> Usage {
        table.iter().fold(Usage::default(), |usage, header| {
            match Head::only_count(headers, &header.name) {
                Some(tokens) if tokens <= MAX_COUNT => usage.with(header.field, tokens),
                _ => usage,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn reads_whole_numbers_that_come_once() {
        static TABLE: [UsageHeader; 1] = [UsageHeader::new("x-input", UsageField::Input)];
        let cases: [(&[&'static str], Option<u64>); 6] = [
            (&["50"], Some(50)),
            (&[], None),
            (&["50", "60"], None),
            (&["-5"], None),
            (&["many"], None),
            (&["1000000000001"], None),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-input", HeaderValue::from_static(line));
            }
            assert_eq!(UsageHeader::read(&TABLE, &headers).input_tokens, expected);
        }
    }
}
