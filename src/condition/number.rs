//! Numbers of the payload as CEL values that keep their digits.
//!
//! - An integer of 64 bits is an `int`, or a `uint` above `i64::MAX`.
//! - A number that a double holds is a `double` that keeps its text: `10.00` is copied and is a key as `10.00`.
//! - A number with more digits is a [`LongNumber`]: it is copied, is a key, and is compared by its value with every
//!   other number, each double counting as the shortest text that gives it. It cannot be calculated with, because
//!   every result would be rounded.
//!
//! `string(x)` of any of these numbers gives the digits as they are written.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{Adder, Comparer, Divider, Multiplier, Negator, Subtractor, Zeroer};
use cel::common::types::{self, CelDouble, CelInt, CelString, CelUInt, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use serde_json::Number;

use super::budget::Budget;
use crate::payload::Decimal;

static DOUBLE: Type = types::DOUBLE_TYPE;
static LONG: Type = Type::new_unspecified_type("number");
static DIGITS: Type = Type::new_unspecified_type("digits");

pub(super) fn boxed<'a>(number: &'a Number, budget: &Budget) -> Box<dyn Val + 'a> {
    let text = number.as_str();
    // A zero with a sign is not an `int`.
    if let Some(int) = number.as_i64().filter(|_| text != "-0") {
        Box::new(CelInt::from(int))
    } else if let Some(uint) = number.as_u64().filter(|_| text != "-0") {
        Box::new(CelUInt::from(uint))
    } else if let Some(double) = number.as_f64().filter(|_| Decimal::is_held_by_double(text)) {
        Box::new(WrittenDouble { text, double: CelDouble::from(double) })
    } else {
        budget.meet_long_number();
        Box::new(LongNumber { text })
    }
}

/// Returns the digits of a number of the payload, unless it is a plain integer.
pub(super) fn digits(value: &dyn Val) -> Option<String> {
    let asked = Digits::default();
    if value.equals(&asked) { asked.0.into_inner() } else { None }
}

/// Evaluates `@written(x)`: a number of the payload as it is written, any other value as it is.
pub(super) fn written<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match (arguments.pop(), arguments.len()) {
        (Some(value), 0) => Ok(digits(&*value).map_or(value, |digits| CowVal::owned(CelString::from(digits)))),
        (_, rest) => Err(ExecutionError::invalid_argument_count(1, rest + 1)),
    }
}

/// A request for digits in the form of a value: a number that is compared with it fills in its digits. cel passes
/// values on by their trait alone, and gives no other way to ask a number of ours.
#[derive(Debug, Default)]
struct Digits(OnceLock<String>);

impl Digits {
    /// Writes `text` into `other` if that is a [`Digits`] without an answer. Returns whether `other` is a [`Digits`]
    /// that holds `text`.
    fn are_asked_by(other: &dyn Val, text: &str) -> bool {
        other.downcast_ref::<Self>().is_some_and(|asked| asked.0.get_or_init(|| text.to_owned()) == text)
    }
}

impl StaticVal for Digits {}

impl Val for Digits {
    fn get_type(&self) -> &Type {
        &DIGITS
    }

    fn cel_type() -> &'static Type {
        &DIGITS
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Self::default())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// A double that keeps its text. For cel it is the double.
#[derive(Clone, Debug)]
struct WrittenDouble<'a> {
    text: &'a str,
    double: CelDouble,
}

/// Forwards an operator of cel to the double.
macro_rules! as_the_double {
    ($($ask:ident: $trait:ident),*) => {
        $(
            fn $ask<'b, 'v>(&'b self) -> Option<&'b (dyn $trait + 'v)>
            where
                Self: 'v,
            {
                self.double.$ask()
            }
        )*
    };
}

impl Val for WrittenDouble<'_> {
    fn get_type(&self) -> &Type {
        &DOUBLE
    }

    fn cel_type() -> &'static Type {
        &DOUBLE
    }

    as_the_double!(
        as_adder: Adder,
        as_divider: Divider,
        as_multiplier: Multiplier,
        as_negator: Negator,
        as_subtractor: Subtractor
    );

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        self.double.as_comparer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.double.as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        Digits::are_asked_by(other, self.text) || self.double.equals(other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(&self.double)
    }
}

/// A number with more digits than a 64-bit integer or a double holds.
#[derive(Clone, Debug)]
struct LongNumber<'a> {
    text: &'a str,
}

impl LongNumber<'_> {
    fn order(&self, other: &dyn Val) -> Option<Ordering> {
        Some(Decimal::of(self.text).cmp(&value_of(other)?))
    }
}

fn value_of(other: &dyn Val) -> Option<Decimal> {
    if let Some(int) = other.downcast_ref::<CelInt>() {
        Some(Decimal::of(&int.inner().to_string()))
    } else if let Some(uint) = other.downcast_ref::<CelUInt>() {
        Some(Decimal::of(&uint.inner().to_string()))
    } else if let Some(double) = other.downcast_ref::<CelDouble>() {
        Decimal::of_double(*double.inner())
    } else {
        digits(other).map(|text| Decimal::of(&text))
    }
}

impl Val for LongNumber<'_> {
    fn get_type(&self) -> &Type {
        &LONG
    }

    fn cel_type() -> &'static Type {
        &LONG
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        Digits::are_asked_by(other, self.text) || self.order(other) == Some(Ordering::Equal)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Comparer for LongNumber<'_> {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        let incomparable = || ExecutionError::ValuesNotComparable(cel::Value::Null, cel::Value::Null);
        self.order(other).ok_or_else(incomparable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::request::over;
    use super::super::{Condition, ConditionError, ConditionProblem, KeyExpression, ValueExpression};
    use crate::payload::Payload;

    fn body() -> Value {
        let body = br#"{"id": 123456789012345678901234, "next": 123456789012345678901235, "low": -123456789012345678901234,
            "price": 10.00, "fine": 0.12345678901234567890, "finer": 0.12345678901234567891, "exponent": 1E5, "zero": -0,
            "int": 9007199254740993, "uint": 18446744073709551615, "half": 1.5, "item": {"a": [1.10, 123456789012345678901234]}}"#;
        Payload::parse(body).unwrap().into_value()
    }

    #[test]
    fn copies_keep_every_digit_of_a_value_and_of_what_lies_in_one() {
        for (text, expected) in [
            ("body.id", "123456789012345678901234"),
            ("body.price", "10.00"),
            ("body.fine", "0.12345678901234567890"),
            ("body.exponent", "1E5"),
            ("body.zero", "-0"),
            ("{'item': body.item}", r#"{"item":{"a":[1.10,123456789012345678901234]}}"#),
            ("[body.id, body.price, body.int]", "[123456789012345678901234,10.00,9007199254740993]"),
            ("body.item.a.map(n, n)", "[1.10,123456789012345678901234]"),
            ("body.item.a.filter(n, n > 2)", "[123456789012345678901234]"),
            ("{'v': body.?price.orValue(0)}", r#"{"v":10.00}"#),
            ("body.half > 1.0 ? body.price : body.half", "10.00"),
            ("string(body.id) + '/' + string(body.price)", r#""123456789012345678901234/10.00""#),
            ("string(body.int) + string(true) + string('x') + string(0.5)", r#""9007199254740993truex0.5""#),
            ("body.price + 0.5", "10.5"),
        ] {
            let value = over(Some(&body()), |view| ValueExpression::compile(text).unwrap().value(view)).unwrap();
            assert_eq!(value.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn keys_are_the_digits_as_they_are_written() {
        for (text, expected) in [
            ("body.id", "123456789012345678901234"),
            ("body.next", "123456789012345678901235"),
            ("body.price", "10.00"),
            ("body.exponent", "1E5"),
            ("body.zero", "-0"),
            ("body.int", "9007199254740993"),
            ("body.item.a[0]", "1.10"),
            ("'t-' + string(body.id)", "t-123456789012345678901234"),
        ] {
            let key = over(Some(&body()), |view| KeyExpression::compile(text).unwrap().key(view));
            assert_eq!(key.unwrap().as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn comparisons_are_exact_to_the_last_digit() {
        for (text, expected) in [
            ("body.id == body.id", true),
            ("body.id == body.next", false),
            ("body.id < body.next && body.next > body.id && body.low < body.id", true),
            ("body.id != 5 && 5 != body.id && body.id > 5 && body.id > 5u", true),
            ("5 < body.id && 5 <= body.id && !(5 > body.id) && -5 > body.low", true),
            ("1.5 < body.id && body.id >= 1.5", true),
            ("body.fine == body.finer", false),
            ("body.fine > 0.1 && body.fine < body.finer && body.fine < 1", true),
            ("body.price == 10 && 10 == body.price && body.price == 10.0 && body.price < 10.5", true),
            ("body.exponent == 100000 && body.zero == 0 && body.half * 2.0 == 3.0", true),
            ("body.id in [body.next, body.id]", true),
            ("body.id in [body.next, 5, 1.5]", false),
            ("string(body.id) == '123456789012345678901234'", true),
            ("{'a': [1.1, body.id]} == body.item || body.item == {'a': [1.1, body.id]}", true),
        ] {
            let matches = over(Some(&body()), |view| Condition::compile(text).unwrap().matches(view));
            assert_eq!(matches, Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_would_be_rounded_is_an_error_that_says_so() {
        for text in [
            "body.id + 1 > 0",
            "1 + body.id > 0",
            "body.fine * 2.0 > 0.0",
            "2.0 * body.fine > 0.0",
            "-body.id < 0",
            "double(body.id) > 0.0",
            "int(body.id) > 0",
            "body.half < body.id",
            "size(body.item) < body.id",
        ] {
            let matches = over(Some(&body()), |view| Condition::compile(text).unwrap().matches(view));
            let error = matches.unwrap_err();
            assert_eq!(error, ConditionError::LongNumber, "{text}");
            assert!(error.to_string().contains("string("), "{error}");
        }
        let wrong = over(Some(&body()), |view| Condition::compile("body.half + 'x' == 'y'").unwrap().matches(view));
        assert_eq!(wrong.map_err(ConditionError::bare), Err(crate::condition::problem::WRONG_TYPE));
    }

    #[test]
    fn a_literal_that_would_be_rounded_is_refused_when_it_is_loaded() {
        for (text, number) in [
            ("body.id == 123456789012345678901234.0", "123456789012345678901234.0"),
            ("body.x > 1 && body.fine == 0.12345678901234567890", "0.12345678901234567890"),
            ("body.low < -123456789012345678901234.0", "123456789012345678901234.0"),
        ] {
            let problem = Condition::compile(text).unwrap_err();
            assert!(matches!(&problem, ConditionProblem::LongLiteral { .. }), "{text}: {problem:?}");
            assert!(problem.to_string().contains(number), "{problem}");
        }
        for text in ["body.x == 0.1", "body.x < 1e22", "body.x == 0.30000000000000004", "body.x == -1.50"] {
            assert!(Condition::compile(text).is_ok(), "{text}");
        }
    }
}
