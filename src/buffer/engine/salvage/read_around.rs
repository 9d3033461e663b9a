//! Reading of a keyspace around its unreadable blocks.
//!
//! The engine's iterator gives up at such a block, and up to two records before it are lost with it, because it looks
//! ahead. So the readable keys before and after the block are found by bisection: the last bound under which a range
//! reads without an error, and the first key from which one does. Records that other tables hold under the keys of the
//! block are not seen; `rebuild` searches the raw files for events among them.

use fjall::{Keyspace, Slice};

use super::is_damage;
use crate::buffer::engine::EngineError;

/// The width of keys, taken as numbers. Ours have 30 bytes at most, and their successors one more; only names of
/// sources and destinations may be longer, and those are few.
const WIDTH: usize = 31;
/// The most gaps that are read around; a keyspace with more is given up.
const GAPS_MAX: u64 = 10_000;

type Number = [u8; WIDTH];

/// Visits all readable records in order, and returns the number of gaps.
pub(super) fn read(
    keyspace: &Keyspace,
    with_values: bool,
    mut visit: impl FnMut(Slice, Option<Slice>) -> Result<(), EngineError>,
) -> Result<u64, EngineError> {
    let mut from = Vec::new();
    let mut gaps = 0;
    loop {
        if read_until_gap(keyspace, &mut from, None, with_values, &mut visit)? {
            return Ok(gaps);
        }
        gaps += 1;
        let start = number(&from);
        let Some(behind) = first_readable(keyspace, start).filter(|_| gaps < GAPS_MAX) else { return Ok(gaps) };
        let bound = last_bound(keyspace, start, behind);
        read_until_gap(keyspace, &mut from, Some(bound), with_values, &mut visit)?;
        from = behind.to_vec();
    }
}

/// Reads up to the next gap. Returns true at the end of the range.
fn read_until_gap(
    keyspace: &Keyspace,
    from: &mut Vec<u8>,
    to: Option<Number>,
    with_values: bool,
    visit: &mut impl FnMut(Slice, Option<Slice>) -> Result<(), EngineError>,
) -> Result<bool, EngineError> {
    let found = match to {
        Some(to) if to.as_slice() <= from.as_slice() => return Ok(true),
        Some(to) => keyspace.range(from.clone()..to.to_vec()),
        None => keyspace.range(from.clone()..),
    };
    for entry in found {
        match entry.into_inner_if(|_| with_values) {
            Ok((key, value)) => {
                from.clear();
                from.extend_from_slice(&key);
                from.push(0);
                visit(key, value)?;
            }
            Err(error) if is_damage(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Returns the first key from which a range begins without an error; `None` when there is none.
fn first_readable(keyspace: &Keyspace, from: Number) -> Option<Number> {
    let is_readable = |key: &Number| keyspace.range(key.to_vec()..).next().is_none_or(|entry| entry.key().is_ok());
    let mut low = from;
    // The steps grow, so that readable keys between two gaps are not stepped over.
    for bit in 0..WIDTH * 8 {
        let high = plus_bit(from, bit)?;
        if is_readable(&high) {
            return Some(halve(low, high, is_readable));
        }
        low = high;
    }
    None
}

/// Returns the highest bound under which all keys can be read.
fn last_bound(keyspace: &Keyspace, from: Number, behind: Number) -> Number {
    let is_gap = |to: &Number| keyspace.range(from.to_vec()..to.to_vec()).any(|entry| entry.key().is_err());
    minus_one(halve(from, behind, is_gap))
}

/// Returns the lowest number above `low` for which `holds` is true, as it is for `high`.
fn halve(mut low: Number, mut high: Number, holds: impl Fn(&Number) -> bool) -> Number {
    loop {
        let middle = middle(low, high);
        if middle == low {
            return high;
        }
        if holds(&middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
}

fn number(key: &[u8]) -> Number {
    let mut number = [0; WIDTH];
    number.iter_mut().zip(key).for_each(|(digit, byte)| *digit = *byte);
    number
}

fn plus_bit(mut number: Number, bit: usize) -> Option<Number> {
    let mut carry = 1_u16 << (bit % 8);
    for digit in number.iter_mut().rev().skip(bit / 8) {
        carry += u16::from(*digit);
        let [high, low] = carry.to_be_bytes();
        *digit = low;
        carry = u16::from(high);
    }
    (carry == 0).then_some(number)
}

fn minus_one(mut number: Number) -> Number {
    for digit in number.iter_mut().rev() {
        let (less, borrows) = digit.overflowing_sub(1);
        *digit = less;
        if !borrows {
            break;
        }
    }
    number
}

fn middle(a: Number, b: Number) -> Number {
    let (mut sum, mut carry) = ([0_u8; WIDTH], 0_u16);
    for ((digit, a), b) in sum.iter_mut().zip(a).zip(b).rev() {
        let [high, low] = (u16::from(a) + u16::from(b) + carry).to_be_bytes();
        *digit = low;
        carry = u16::from(high);
    }
    // Halves the sum: the carry comes in at the top.
    for digit in &mut sum {
        let value = (carry << 8) | u16::from(*digit);
        carry = value & 1;
        let [_, half] = (value >> 1).to_be_bytes();
        *digit = half;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_finds_every_border() {
        let low = number(&[0]);
        for border in [&[0, 0, 1][..], &[1], &[0x7f, 0xff, 0xff], &[0xff, 1, 2, 3]] {
            let border = number(border);
            let found = halve(low, [0xff; WIDTH], |number| *number >= border);
            assert_eq!(found, border);
            assert!(minus_one(found) < border);
        }
    }

    #[test]
    fn steps_grow_and_end() {
        assert_eq!(plus_bit(number(&[0]), WIDTH * 8 - 1), Some(number(&[0x80])));
        assert_eq!(plus_bit([0xff; WIDTH], 0), None);
        assert_eq!(plus_bit(number(&[1, 0xff]), (WIDTH - 2) * 8), Some(number(&[2, 0])));
    }
}
