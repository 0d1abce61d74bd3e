use http::StatusCode;

use crate::usage::json::{PathReader, Value, Visitor};

/// Longer strings are not read, in bytes. A message that lists several quotas has some hundred.
const LONGEST_TEXT: usize = 2048;

/// A longer code is a sentence.
const LONGEST_CODE: usize = 128;

/// What an error body says, of the many places where providers say it.
///
/// Whatever is no JSON, cut off or hostile is read as far as it goes.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// The message, in lower case.
    pub(super) message: String,
    /// The names for the error, the most telling first.
    codes: [Option<String>; CODES],
    /// The status that it would have had, where the body says so.
    pub(super) status: Option<StatusCode>,
    /// Somebody behind the one who answers refused the request.
    pub(super) is_upstream: bool,
    /// Google's quotas, wherever they stand.
    pub(super) quotas: Vec<Quota>,
    /// Google's `retryDelay`.
    pub(super) retry_delay: Option<String>,
    /// The string before the current one.
    key: Key,
}

/// A quota of Google's that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Its `quotaId`.
    pub(super) id: String,
    /// Its `quotaValue`.
    pub(super) value: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Key {
    QuotaId,
    QuotaValue,
    RetryDelay,
    #[default]
    Other,
}

#[derive(Debug)]
struct Place {
    path: &'static [&'static str],
    says: Says,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Message,
    /// A code, with its rank among codes.
    Code(usize),
    Upstream,
}

const CODES: usize = 9;

impl Place {
    const fn new(path: &'static [&'static str], says: Says) -> Self {
        Self { path, says }
    }
}

impl AsRef<[&'static str]> for Place {
    fn as_ref(&self) -> &[&'static str] {
        self.path
    }
}

/// Error bodies of the providers' references and SDKs, read 2026-11-23.
static PLACES: [Place; 14] = [
    // OpenAI and its imitators, Anthropic, Google, OpenRouter.
    Place::new(&["error", "message"], Says::Message),
    // Mistral, Cohere, AWS.
    Place::new(&["message"], Says::Message),
    Place::new(&["detail"], Says::Message),
    // xAI.
    Place::new(&["error"], Says::Message),
    // Anthropic.
    Place::new(&["error", "details", "error_code"], Says::Code(0)),
    Place::new(&["error", "code"], Says::Code(1)),
    // Together.
    Place::new(&["error", "error_type"], Says::Code(2)),
    Place::new(&["error_type"], Says::Code(3)),
    Place::new(&["error", "type"], Says::Code(4)),
    Place::new(&["code"], Says::Code(5)),
    Place::new(&["type"], Says::Code(6)),
    // AWS.
    Place::new(&["__type"], Says::Code(7)),
    // Google.
    Place::new(&["error", "status"], Says::Code(8)),
    // OpenRouter.
    Place::new(&["error", "metadata", "provider_name"], Says::Upstream),
];

impl ErrorBody {
    pub(super) fn read(body: &[u8]) -> Self {
        let body = body.trim_ascii_start();
        // Google's OpenAI-compatible endpoint sends a list of one error (seen 2025-02-16).
        let body = body.strip_prefix(b"[").unwrap_or(body);
        let mut error = Self::default();
        PathReader::<_, LONGEST_TEXT>::new(&PLACES).feed(body, &mut error);
        error
    }

    /// This error under a name from elsewhere, more telling than its own.
    pub(super) fn named(mut self, code: Option<&str>) -> Self {
        if let Some(code) = code.and_then(as_code) {
            self.codes[0] = Some(code);
        }
        self
    }

    /// The names for the error, the most telling first.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().flatten().map(String::as_str)
    }
}

impl Visitor<Place> for ErrorBody {
    const SIZES: bool = true;

    fn value(&mut self, at: &'static Place, value: Value<'_>) {
        if let (Says::Code(_), Value::Count(status)) = (at.says, value) {
            let status = u16::try_from(status).ok();
            self.status = status.and_then(|status| StatusCode::from_u16(status).ok());
        }
        let Value::Text(text) = value else {
            return;
        };
        match at.says {
            Says::Message => self.message = text.to_ascii_lowercase(),
            Says::Code(rank) => self.codes[rank] = as_code(text),
            Says::Upstream => self.is_upstream = true,
        }
    }

    /// Google's details are a list, through which no path leads. Their keys are their own: nobody
    /// else has them, so a string is what the string before it says.
    fn string(&mut self, _length: u64, beginning: &[u8]) {
        let text = || String::from_utf8_lossy(beginning).into_owned();
        match self.key {
            Key::QuotaId => {
                let id = as_code(&text());
                self.quotas.extend(id.map(|id| Quota { id, value: None }));
            }
            Key::QuotaValue => {
                if let Some(quota) = self.quotas.last_mut() {
                    quota.value = text().parse().ok();
                }
            }
            Key::RetryDelay => self.retry_delay = Some(text()),
            Key::Other => {}
        }
        self.key = match beginning {
            b"quotaId" => Key::QuotaId,
            b"quotaValue" => Key::QuotaValue,
            b"retryDelay" => Key::RetryDelay,
            _ => Key::Other,
        };
    }
}

fn as_code(text: &str) -> Option<String> {
    (1..=LONGEST_CODE)
        .contains(&text.len())
        .then(|| text.to_owned())
}
