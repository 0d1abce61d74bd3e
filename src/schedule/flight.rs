use std::collections::VecDeque;

use super::lengths::Lengths;

/// The answers of one class that are being generated, and what is reserved for them together.
///
/// Whoever reserves each one's cap wastes most of a limit where answers are much shorter. Together
/// they are nearly as long as their mean: independent errors add up like √n. But those in flight
/// at some time are not like all answers: the long ones stay. So what is bounded is the length of
/// all that were sent since some point in time, ended or not, and what those took that have ended is
/// taken off.
///
/// That point is the sending of the oldest that is still in flight. It is chosen by how long that one
/// and older ones take, which says nothing of those sent after it; that one itself is taken at its
/// cap. And what is known of lengths is learned in the order of sending, of those that were sent before
/// that point: of all that have ended, too many would be short ones.
#[derive(Debug)]
pub(super) struct Flight {
    /// The largest cap there was.
    cap: u64,
    lengths: Lengths,
    /// All that were sent since the oldest in flight.
    sent: VecDeque<Sent>,
    /// How many were sent before those.
    before: u64,
    /// How many of those are in flight, and the sum of their caps.
    flying: u64,
    caps: u64,
    /// What those that have ended are known to have taken.
    taken: u64,
    /// The caps of older ones that are still in flight: they took so long that they have been
    /// parted from the others.
    apart: u64,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    /// In flight, with this cap.
    Flying(u64),
    /// With this cap it took so much, if that is known.
    Ended(u64, Option<u64>),
}

/// More are not remembered, however long the oldest takes: some 256 KiB. With as many in flight at once,
/// every one is taken at its cap.
const MOST_SENT: usize = 8192;

impl Flight {
    /// Nothing in flight, to be bounded with the probability 1 - ε, of which `certainty` is ln 1/ε.
    pub(super) fn new(certainty: f64) -> Self {
        Self {
            cap: 0,
            lengths: Lengths::new(certainty),
            sent: VecDeque::new(),
            before: 0,
            flying: 0,
            caps: 0,
            taken: 0,
            apart: 0,
        }
    }

    /// One more was sent, with this cap of its own. What is returned is its number.
    pub(super) fn enter(&mut self, cap: u64) -> u64 {
        if self.sent.len() == MOST_SENT {
            self.part();
            self.part_from_ended();
        }
        self.cap = self.cap.max(cap);
        self.sent.push_back(Sent::Flying(cap));
        self.flying += 1;
        self.caps = self.caps.saturating_add(cap);
        self.before + self.sent.len() as u64 - 1
    }

    /// The one with this number and cap has ended, and has `taken` so much, if that is known.
    ///
    /// One of which nothing is known is taken for as long as its cap by whoever wants to learn, and for
    /// nothing by whoever wants to know how much is left for the others.
    pub(super) fn leave(&mut self, number: u64, cap: u64, taken: Option<u64>) {
        let Some(index) = number.checked_sub(self.before) else {
            self.apart = self.apart.saturating_sub(cap);
            return;
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(sent @ Sent::Flying(_)) = self.sent.get_mut(index) else {
            debug_assert!(false, "left a flight twice");
            return;
        };
        *sent = Sent::Ended(cap, taken);
        self.flying -= 1;
        self.caps = self.caps.saturating_sub(cap);
        self.taken = self.taken.saturating_add(taken.unwrap_or(0));
        if self.taken as f64 > self.lengths.likely_bound(self.sent.len() as u64) * self.cap as f64 {
            // So improbable that what was learned must be wrong.
            self.lengths.forget();
        }
        self.part_from_ended();
    }

    fn part_from_ended(&mut self) {
        while matches!(self.sent.front(), Some(Sent::Ended(..))) {
            self.part();
        }
    }

    /// Parts from the oldest one, and learns from it. One that is still in flight may take its cap.
    fn part(&mut self) {
        let share = match self.sent.pop_front() {
            Some(Sent::Flying(cap)) => {
                self.flying -= 1;
                self.caps = self.caps.saturating_sub(cap);
                self.apart = self.apart.saturating_add(cap);
                1.0
            }
            Some(Sent::Ended(cap, taken)) => {
                self.taken = self.taken.saturating_sub(taken.unwrap_or(0));
                taken.map_or(1.0, |taken| taken as f64 / cap.max(1) as f64)
            }
            None => return,
        };
        self.lengths.learn(share);
        self.before += 1;
    }

    /// How much less than all their caps need be reserved for those in flight.
    pub(super) fn relief(&self) -> u64 {
        let Some(Sent::Flying(oldest)) = self.sent.front() else {
            return 0;
        };
        let rest = self.sent.len() as u64 - 1;
        let all_but_ended = self.tokens(rest).saturating_sub(self.taken);
        // Should what has ended look longer than it could be, the others are still to come.
        let still_flying = self.tokens(self.flying - 1);
        let reserve = oldest.saturating_add(all_but_ended.max(still_flying));
        self.caps.saturating_sub(reserve)
    }

    fn tokens(&self, count: u64) -> u64 {
        (self.lengths.bound(count) * self.cap as f64).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTAINTY: f64 = 13.8;

    /// A flight that has seen a thousand answers of 50 of 1,000 tokens, and is empty.
    fn practised() -> Flight {
        let mut flight = Flight::new(CERTAINTY);
        for _ in 0..1_000 {
            let number = flight.enter(1_000);
            flight.leave(number, 1_000, Some(50));
        }
        flight
    }

    fn enter(flight: &mut Flight, count: usize) -> Vec<u64> {
        (0..count).map(|_| flight.enter(1_000)).collect()
    }

    #[test]
    fn nothing_is_spared_before_anything_is_known() {
        let mut flight = Flight::new(CERTAINTY);
        enter(&mut flight, 500);
        assert_eq!(flight.relief(), 0);
    }

    #[test]
    fn many_in_flight_are_spared_much_and_few_nothing() {
        let mut flight = practised();
        assert_eq!(flight.relief(), 0);
        enter(&mut flight, 4);
        assert_eq!(flight.relief(), 0);
        enter(&mut flight, 96);
        let reserved = 100_000 - flight.relief();
        assert!((5_000..35_000).contains(&reserved), "{reserved} of 100,000");
    }

    /// Those that are left when the short ones have ended are the long ones.
    #[test]
    fn the_last_ones_are_reserved_what_the_others_left() {
        let mut flight = practised();
        let numbers = enter(&mut flight, 100);
        let all = 100_000 - flight.relief();
        for &number in &numbers[1..91] {
            flight.leave(number, 1_000, Some(10));
        }
        let left = 10_000 - flight.relief();
        println!("{all} for a hundred, and {left} for the last ten");
        assert_eq!(left, 10_000.min(all - 900));
    }

    #[test]
    fn one_of_which_nothing_is_known_takes_nothing_off() {
        let mut flight = practised();
        let numbers = enter(&mut flight, 100);
        let reserved = 100_000 - flight.relief();
        flight.leave(numbers[50], 1_000, None);
        assert!(99_000 - flight.relief() >= reserved);
    }

    #[test]
    fn what_is_too_improbable_is_taken_for_a_change() {
        let mut flight = practised();
        let numbers = enter(&mut flight, 100);
        for &number in &numbers[1..60] {
            flight.leave(number, 1_000, Some(900));
        }
        enter(&mut flight, 100);
        // Some forty answers have been seen since.
        assert!(flight.relief() < 141_000 / 10, "{}", flight.relief());
    }

    #[test]
    fn an_answer_without_end_is_parted_from_the_others() {
        let mut flight = practised();
        let oldest = flight.enter(1_000);
        for _ in 0..3 * MOST_SENT {
            let number = flight.enter(1_000);
            flight.leave(number, 1_000, Some(50));
            assert!(flight.sent.len() <= MOST_SENT);
        }
        assert_eq!((flight.apart, flight.flying, flight.caps), (1_000, 0, 0));
        flight.leave(oldest, 1_000, Some(999));
        assert_eq!((flight.apart, flight.taken), (0, 0));
        assert!(flight.sent.is_empty());
    }
}
