use std::time::Duration;

use fastrand::Rng;

use super::behaviour::mixed;

/// A part of a limit, in which somebody else's requests on tokens come.
const REQUESTS_PER_LIMIT: u64 = 100;

/// What somebody else uses on the same key.
///
/// Each limit has a load of its own that uses the given share of it: evenly spread, each of its
/// requests at a moment drawn from its part of the time, a unit each of requests and a hundredth of
/// the limit each of tokens. It is counted by the provider, seen in its headers, and refused like
/// anybody else when it does not fit. A limit on concurrent requests has that share of it, rounded
/// down, in flight all the time.
///
/// ```
/// use proactive_rate_limit::simulator::{OtherTraffic, Simulator};
///
/// let provider = Simulator::builder()
///     .requests(100)
///     .others(OtherTraffic::share(0.3).in_bursts_of(10))
///     .build();
/// # assert_eq!(provider.report().requests.others_refused, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "give it to `SimulatorBuilder::others`"]
pub struct OtherTraffic {
    share: f64,
    burst: u64,
}

impl OtherTraffic {
    /// A load of this share of each limit: 0.3 is 30 %. Not a number and what is below zero mean
    /// none; above one it asks for more than there is.
    pub const fn share(share: f64) -> Self {
        Self { share, burst: 1 }
    }

    /// The same load with this many requests at once, and as much rarer. At least one.
    pub const fn in_bursts_of(mut self, requests: u64) -> Self {
        self.burst = if requests == 0 { 1 } else { requests };
        self
    }

    /// Its part of what can be in flight.
    pub(super) fn in_flight_of(&self, limit: u64) -> u64 {
        // A cast from a float saturates, and makes zero of what is no number.
        (limit as f64 * self.share) as u64
    }
}

/// The load of others on one limit, as requests at their moments.
#[derive(Debug)]
pub(super) struct Load {
    traffic: OtherTraffic,
    window: Duration,
    whole_units: bool,
    rng: Rng,
    /// The start of the part of the time that the next burst is drawn from.
    slot: Duration,
    /// How long that part is; `None` while there is no load.
    spacing: Option<Duration>,
    next: Option<Duration>,
}

impl Load {
    /// `whole_units`: requests are counted one by one, tokens in larger pieces.
    pub(super) fn new(
        traffic: OtherTraffic,
        limit: u64,
        window: Duration,
        whole_units: bool,
        seed: u64,
        place: u64,
    ) -> Self {
        let mut load = Self {
            traffic,
            window,
            whole_units,
            // Requests are numbered upwards from 0, so their draws are of other numbers.
            rng: Rng::with_seed(mixed(seed, u64::MAX - 1 - place)),
            slot: Duration::ZERO,
            spacing: None,
            next: None,
        };
        load.draw(limit);
        load
    }

    /// The moment of the next burst.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Takes the next burst, which is this many requests of this many units, of a limit that is
    /// now `limit`.
    pub(super) fn take(&mut self, limit: u64) -> (u64, u64) {
        if let Some(spacing) = self.spacing {
            self.slot = self.slot.saturating_add(spacing);
        }
        self.draw(limit);
        (self.traffic.burst, self.unit(limit))
    }

    /// The limit is another from now on, and so is what a share of it is.
    pub(super) fn set_limit(&mut self, now: Duration, limit: u64) {
        self.slot = now;
        self.draw(limit);
    }

    fn unit(&self, limit: u64) -> u64 {
        if self.whole_units {
            1
        } else {
            (limit / REQUESTS_PER_LIMIT).max(1)
        }
    }

    fn draw(&mut self, limit: u64) {
        self.spacing = self.spacing(limit);
        self.next = self.spacing.map(|spacing| {
            let nanos = u64::try_from(spacing.as_nanos()).unwrap_or(u64::MAX);
            let into = Duration::from_nanos(self.rng.u64(0..nanos.max(1)));
            self.slot.saturating_add(into)
        });
    }

    /// Between one burst and the next.
    fn spacing(&self, limit: u64) -> Option<Duration> {
        let per_window = limit as f64 * self.traffic.share;
        let burst = self.traffic.burst.saturating_mul(self.unit(limit)) as f64;
        let seconds = self.window.as_secs_f64() * burst / per_window;
        // Less than a nanosecond could never catch up with the time.
        (per_window > 0.0)
            .then(|| Duration::try_from_secs_f64(seconds).ok())
            .flatten()
            .filter(|spacing| !spacing.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn load(traffic: OtherTraffic, limit: u64, whole_units: bool) -> Load {
        Load::new(traffic, limit, MINUTE, whole_units, 7, 0)
    }

    /// Moments, requests and units until `end`.
    fn play(load: &mut Load, limit: u64, end: Duration) -> Vec<(Duration, u64, u64)> {
        let mut played = Vec::new();
        while let Some(at) = load.next().filter(|&at| at < end) {
            let (requests, units) = load.take(limit);
            played.push((at, requests, units));
        }
        played
    }

    #[test]
    fn it_uses_its_share_evenly() {
        let mut load = load(OtherTraffic::share(0.3), 100, true);
        let played = play(&mut load, 100, MINUTE * 10);

        assert_eq!(played.len(), 300);
        for (part, &(at, requests, units)) in (0..).zip(&played) {
            assert_eq!((requests, units), (1, 1));
            assert!(
                at >= part * Duration::from_secs(2) && at < (part + 1) * Duration::from_secs(2)
            );
        }
    }

    #[test]
    fn bursts_and_pieces_of_tokens_are_as_much_rarer() {
        let mut bursts = load(OtherTraffic::share(0.5).in_bursts_of(10), 100, true);
        let played = play(&mut bursts, 100, MINUTE * 4);
        assert_eq!(played.len(), 20);
        assert!(played.iter().all(|&(_, requests, _)| requests == 10));

        let mut tokens = load(OtherTraffic::share(0.5), 30_000, false);
        let played = play(&mut tokens, 30_000, MINUTE);
        assert_eq!(played.len(), 50);
        assert!(played.iter().all(|&(_, _, units)| units == 300));
    }

    #[test]
    fn another_limit_makes_another_load() {
        let mut load = load(OtherTraffic::share(0.5), 60, true);
        assert_eq!(play(&mut load, 60, MINUTE).len(), 30);
        load.set_limit(MINUTE, 6);
        assert_eq!(play(&mut load, 6, MINUTE * 2).len(), 3);
        load.set_limit(MINUTE * 2, 0);
        assert_eq!(load.next(), None);
        load.set_limit(MINUTE * 3, 60);
        assert_eq!(play(&mut load, 60, MINUTE * 4).len(), 30);
    }

    #[test]
    fn there_can_be_no_load() {
        for share in [0.0, -1.0, f64::NAN] {
            assert_eq!(load(OtherTraffic::share(share), 60, true).next(), None);
            assert_eq!(OtherTraffic::share(share).in_flight_of(10), 0);
        }
        assert_eq!(
            load(OtherTraffic::share(f64::INFINITY), 60, true).next(),
            None
        );
        assert_eq!(OtherTraffic::share(0.5).in_flight_of(5), 2);
    }
}
