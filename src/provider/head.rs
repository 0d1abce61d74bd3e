use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};

use super::duration;
use super::moment::{http_date, moments};

static RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// How long ago a point in time may be that is taken for now. `Date` is cut to seconds and clocks
/// of one provider differ a little; what is longer ago tells of a wrong clock, not of a wait.
const JUST_NOW: Duration = Duration::from_secs(60);

/// The head of a response, read with care: of a header that comes more than once, the reading that
/// allows least is taken, and what is nonsense is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    headers: &'a HeaderMap,
    arrived: SystemTime,
}

impl<'a> Head<'a> {
    pub(super) fn new(headers: &'a HeaderMap, arrived: SystemTime) -> Self {
        Self { headers, arrived }
    }

    /// The smallest whole number under `name`.
    pub(super) fn count(self, name: &HeaderName) -> Option<u64> {
        self.readings(name, whole).min()
    }

    /// The whole number under `name`, if there is one and no other.
    pub(super) fn only_count(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => whole(line.to_str().ok()?),
            _ => None,
        }
    }

    /// The longest time until what `name` announces: a duration, seconds, or a point in time.
    pub(super) fn reset(self, name: &HeaderName) -> Option<Duration> {
        self.readings(name, |text| {
            duration::reset(text)
                .or_else(|| moments(text).find_map(|moment| self.time_until(moment)))
        })
        .max()
    }

    /// How long the provider asks to wait.
    pub(super) fn retry_after(self) -> Option<Duration> {
        let exact = self.readings(&RETRY_AFTER_MS, duration::milliseconds);
        exact.max().or_else(|| {
            self.readings(&RETRY_AFTER, |text| {
                let date = || self.time_until(http_date(text.trim())?);
                duration::seconds(text).or_else(date)
            })
            .max()
        })
    }

    /// From when the response was made until `moment`.
    fn time_until(self, moment: SystemTime) -> Option<Duration> {
        match moment.duration_since(self.made()) {
            Ok(ahead) => duration::plausible(ahead),
            Err(past) => (past.duration() <= JUST_NOW).then_some(Duration::ZERO),
        }
    }

    /// When the response was made, by the clock that its other times are of.
    fn made(self) -> SystemTime {
        self.date().unwrap_or(self.arrived)
    }

    /// When the response says that it was made.
    pub(super) fn date(self) -> Option<SystemTime> {
        self.readings(&DATE, |text| http_date(text.trim())).min()
    }

    /// What `read` makes of each line of a header, or of the parts of a line that a proxy put
    /// together with commas.
    fn readings<T>(
        self,
        name: &HeaderName,
        read: impl Fn(&str) -> Option<T>,
    ) -> impl Iterator<Item = T> {
        let lines = self.headers.get_all(name).iter();
        lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(move |line| {
                // Dates have a comma of their own.
                let whole = read(line);
                let parts = if whole.is_none() { line } else { "" };
                let parts: Vec<_> = parts.split(',').filter_map(&read).collect();
                whole.into_iter().chain(parts)
            })
    }
}

fn whole(text: &str) -> Option<u64> {
    let digits = text.trim();
    // `parse` would take a sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}
