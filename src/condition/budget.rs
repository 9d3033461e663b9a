//! The budget of one evaluation, and the lists that a comprehension goes through.
//!
//! CEL turns some errors into answers (`false && error` is `false`), so an exceeded budget stays exceeded, and the
//! caller checks the budget after the evaluation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cel::common::traits::Iterator as CelIterator;
use cel::common::value::Val;

use super::{LIST_LENGTH_MAX, STEPS_MAX};

/// The steps that one evaluation has left.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU32,
    met_long_number: AtomicBool,
}

const EXCEEDED: u32 = 0;

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU32::new(STEPS_MAX + 1), met_long_number: AtomicBool::new(false) }
    }
}

impl Budget {
    /// Spends steps; returns whether the budget is not exceeded.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let left = self.left.load(Ordering::Relaxed).saturating_sub(steps);
        self.left.store(left, Ordering::Relaxed);
        left != EXCEEDED
    }

    pub(super) fn exceeded(&self) -> bool {
        self.left.load(Ordering::Relaxed) == EXCEEDED
    }

    /// Notes that a number was read that is too long to calculate with.
    pub(super) fn meet_long_number(&self) {
        self.met_long_number.store(true, Ordering::Relaxed);
    }

    /// Returns whether the evaluation has read a number that is too long to calculate with. A type error then counts as
    /// `LongNumber`.
    pub(super) fn has_met_long_number(&self) -> bool {
        self.met_long_number.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn spent(&self) -> u32 {
        STEPS_MAX + 1 - self.left.load(Ordering::Relaxed)
    }
}

/// An iterator that lends the elements one by one.
pub(super) struct Lent<'b, 'a> {
    rest: std::slice::Iter<'b, Box<dyn Val + 'a>>,
}

impl<'b, 'a> Lent<'b, 'a> {
    pub(super) fn new(elements: &'b [Box<dyn Val + 'a>]) -> Self {
        Self { rest: elements.iter() }
    }
}

impl<'b, 'v, 'a: 'v> CelIterator<'b, 'v> for Lent<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.rest.next().map(|element| &**element as &'b (dyn Val + 'v))
    }
}

/// The elements of a list, made when a comprehension asks for them, since CEL borrows them.
pub(super) type Elements<'a> = OnceLock<Vec<Box<dyn Val + 'a>>>;

/// Lends the elements of a list. A list longer than `LIST_LENGTH_MAX` is lent empty and exceeds the budget.
pub(super) fn lent<'b, 'a>(
    elements: &'b Elements<'a>,
    length: usize,
    budget: &Budget,
    make: impl FnOnce() -> Vec<Box<dyn Val + 'a>>,
) -> Lent<'b, 'a> {
    let affordable = length <= LIST_LENGTH_MAX || budget.spend(usize::MAX);
    Lent::new(elements.get_or_init(|| if affordable { make() } else { Vec::new() }))
}
