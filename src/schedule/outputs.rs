use super::flight::Flight;
use super::{Cost, OutputReserve};

/// What is reserved for the answers in flight where a provider counts what they really take: less
/// than the sum of their caps, once it is known how long answers get.
///
/// Answers are told apart by the order of magnitude of their caps: who asks for at most 100 tokens
/// wants something else than who allows 10,000.
#[derive(Debug)]
pub(super) struct Outputs {
    certainty: f64,
    classes: Vec<(u32, Flight)>,
    relief: u64,
}

/// An answer that is counted among others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boarding {
    class: u32,
    number: u64,
    cap: u64,
}

/// A larger cap is none: it stays reserved.
const LARGEST_CAP: u64 = 1 << 40;

impl Outputs {
    /// `None` where every cap is to be reserved.
    pub(super) fn new(reserve: OutputReserve) -> Option<Self> {
        Some(Self {
            certainty: reserve.certainty()?,
            classes: Vec::new(),
            relief: 0,
        })
    }

    /// A request of this cost was sent.
    ///
    /// `None` if its answer is counted for itself, at its cap: nothing is generated, or it is not told
    /// how much of its tokens are.
    pub(super) fn enter(&mut self, cost: &Cost) -> Option<Boarding> {
        let cap = cost.output_tokens;
        if cap == 0 || cap > LARGEST_CAP || cost.tokens < cap {
            return None;
        }
        let class = cap.next_power_of_two().trailing_zeros();
        let number = self.flight(class).enter(cap);
        self.measure();
        Some(Boarding { class, number, cap })
    }

    /// It has ended. `charged` is what the provider counts for it, if it is known.
    pub(super) fn leave(&mut self, boarding: Boarding, reserved: &Cost, charged: Option<&Cost>) {
        let Boarding { class, number, cap } = boarding;
        // What is charged as it was reserved is charged so for want of a better number.
        let measured = charged.filter(|charged| *charged != reserved);
        let taken = measured.map(|charged| {
            // The rest of its tokens may have been more than was reserved for that.
            let certain = reserved.tokens.saturating_sub(cap);
            let beyond = charged.tokens.saturating_sub(certain);
            // Whoever took more than its cap leaves no less for the others.
            charged.output_tokens.max(beyond).min(cap)
        });
        self.flight(class).leave(number, cap, taken);
        self.measure();
    }

    /// How many tokens less than all caps are reserved.
    pub(super) fn relief(&self) -> u64 {
        self.relief
    }

    fn flight(&mut self, class: u32) -> &mut Flight {
        let index = match self.classes.iter().position(|(known, _)| *known == class) {
            Some(index) => index,
            None => {
                self.classes.push((class, Flight::new(self.certainty)));
                self.classes.len() - 1
            }
        };
        &mut self.classes[index].1
    }

    fn measure(&mut self) {
        self.relief = self.classes.iter().map(|(_, flight)| flight.relief()).sum();
    }
}
