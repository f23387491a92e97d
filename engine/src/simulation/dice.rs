//! What decides: one seed's numbers.

use std::ops::RangeInclusive;

use crate::random::Random;

/// A run's source of chance.
#[derive(Debug)]
pub(super) struct Dice(Random);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// Another source, whose numbers do not depend on how many are drawn here.
    pub(super) fn split(&self) -> Self {
        Self(Random::new(self.0.bits()))
    }

    /// A number of the range, each as likely as the others.
    pub(super) fn roll(&self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.bits() % (range.end() - range.start() + 1)
    }

    /// True with this probability.
    pub(super) fn chance(&self, probability: f64) -> bool {
        self.0.unit() < probability
    }

    /// One of them.
    pub(super) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.roll(0..=choices.len() as u64 - 1) as usize]
    }

    /// A delay with a long tail, in virtual nanoseconds: log-normal around `median`.
    pub(super) fn latency(&self, median: u64) -> u64 {
        (median as f64 * self.0.normal().exp()) as u64
    }
}
