//! Values: the JSON that an expression makes of a request, for transforms.
//!
//! Maps, lists, texts, numbers, booleans and null are themselves; bytes become base64, timestamps and durations the
//! texts that `string()` makes of them. A value that JSON cannot express (an optional, a key that is no text, NaN, a
//! type) is an error. Values of the payload are copied once, here; their numbers keep their digits.
//!
//! Members are sorted by name, because serde_json keeps them so and cel's own maps have no order at all.
//!
//! A value has at most [`VALUE_BYTES_MAX`] bytes as JSON, [`VALUE_NODES_MAX`] nodes and [`VALUE_DEPTH_MAX`] levels: a
//! comprehension can name the same large object in every round.

use cel::common::ast::Expr;
use cel::common::traits::{Indexer, Iterable};
use cel::common::types::{CelBool, CelBytes, CelDouble, CelInt, CelNull, CelOptional, CelString, CelUInt, Kind};
use cel::common::value::Val;
use data_encoding::BASE64;
use serde_json::{Map, Number, Value};

use super::problem::NotJson;
use super::{ConditionError, Masked, ValueExpression, View, number, times};
use crate::credential::REDACTED;

/// Longest value, written as JSON.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Most values within a value.
pub const VALUE_NODES_MAX: usize = 1 << 18;
/// Deepest nesting of a value.
pub const VALUE_DEPTH_MAX: usize = 128;

impl ValueExpression {
    /// Returns whether the expression is a literal, such as a text or a number, so that there are no places in its
    /// value.
    pub fn is_scalar(&self) -> bool {
        matches!(self.0.program.tree.expr, Expr::Literal(_))
    }

    /// Returns the value over the request.
    pub fn value(&self, view: &View<'_>) -> Result<Value, ConditionError> {
        self.0.evaluate(view, |value| Copying::default().copy(value))?
    }

    /// Evaluates without the values of variables; [`REDACTED`] where there is no value without them.
    pub fn value_shown(&self, view: &View<'_>) -> Result<Value, ConditionError> {
        match self.0.masked.as_deref() {
            None => self.value(view),
            Some(Masked { expression: None, .. }) => Ok(Value::from(REDACTED)),
            Some(Masked { expression: Some(without), .. }) => {
                without.evaluate(view, |value| Copying::default().copy(value))?
            }
        }
    }
}

/// The bytes and nodes that have been copied so far, and the current depth.
#[derive(Debug, Default)]
struct Copying {
    bytes: usize,
    nodes: usize,
    depth: usize,
}

/// The bytes of the longest `f64` as serde_json writes it.
const DOUBLE_BYTES: usize = 24;
/// The bytes of two quotes.
const QUOTES_BYTES: usize = 2;
/// The bytes of a comma or colon.
const SEPARATOR_BYTES: usize = 1;

impl Copying {
    fn copy(&mut self, value: &dyn Val) -> Result<Value, ConditionError> {
        self.nodes += 1;
        if self.nodes > VALUE_NODES_MAX {
            return Err(ConditionError::ValueTooLarge);
        }
        self.spend(SEPARATOR_BYTES)?;
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            return self.text(text.inner()).map(Value::String);
        }
        if let Some(time) = times::written(value) {
            return self.text(&time).map(Value::String);
        }
        if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
            self.spend(QUOTES_BYTES + BASE64.encode_len(bytes.inner().len()))?;
            return Ok(Value::String(BASE64.encode(bytes.inner())));
        }
        match value.get_type().kind() {
            Kind::List => self.deeper(|copying| copying.list(value)),
            Kind::Map => self.deeper(|copying| copying.map(value)),
            _ => self.scalar(value),
        }
    }

    fn scalar(&mut self, value: &dyn Val) -> Result<Value, ConditionError> {
        if value.downcast_ref::<CelNull>().is_some() {
            self.spend("null".len())?;
            Ok(Value::Null)
        } else if let Some(flag) = value.downcast_ref::<CelBool>() {
            self.spend("false".len())?;
            Ok(Value::Bool(*flag.inner()))
        } else if let Some(int) = value.downcast_ref::<CelInt>() {
            self.spend(1 + digits(int.inner().unsigned_abs()))?;
            Ok(Value::from(*int.inner()))
        } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
            self.spend(digits(*uint.inner()))?;
            Ok(Value::from(*uint.inner()))
        } else if let Some(digits) = number::digits(value) {
            self.spend(digits.len())?;
            Ok(Value::Number(Number::from_string_unchecked(digits)))
        } else if let Some(number) = value.downcast_ref::<CelDouble>() {
            self.spend(DOUBLE_BYTES)?;
            let number = Number::from_f64(*number.inner());
            number.map(Value::Number).ok_or(ConditionError::NotJson(NotJson::NotFinite))
        } else if value.downcast_ref::<CelOptional<'_>>().is_some() {
            Err(ConditionError::NotJson(NotJson::Optional))
        } else {
            Err(ConditionError::NotJson(NotJson::Type))
        }
    }

    /// Copies a list. Its elements are read by their numbers, which costs no second list of them.
    fn list(&mut self, value: &dyn Val) -> Result<Value, ConditionError> {
        let (elements, length) = value.as_indexer().zip(value.as_sizer()).ok_or(NOT_JSON)?;
        let length = *length.size().inner();
        let mut copied = Vec::new();
        for position in 0..length {
            copied.push(self.member(elements, &CelInt::from(position))?);
        }
        Ok(Value::Array(copied))
    }

    fn map(&mut self, value: &dyn Val) -> Result<Value, ConditionError> {
        let (members, keys) = value.as_indexer().zip(value.as_iterable()).ok_or(NOT_JSON)?;
        let mut keys = Iterable::iter(keys);
        let mut copied = Map::new();
        while let Some(key) = keys.next() {
            let name = key.downcast_ref::<CelString<'_>>().ok_or(ConditionError::NotJson(NotJson::Key))?;
            let name = self.text(name.inner())?;
            copied.insert(name, self.member(members, key)?);
        }
        Ok(Value::Object(copied))
    }

    fn member(&mut self, of: &dyn Indexer, index: &dyn Val) -> Result<Value, ConditionError> {
        let member = of.get(index).map_err(|error| ConditionError::of(&error, ""))?;
        self.copy(&*member)
    }

    fn text(&mut self, text: &str) -> Result<String, ConditionError> {
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..=0x1f => "\\u0000".len(),
            _ => 1,
        };
        self.spend(SEPARATOR_BYTES + QUOTES_BYTES + text.bytes().map(escaped).sum::<usize>())?;
        Ok(text.to_owned())
    }

    fn deeper(
        &mut self,
        copy: impl FnOnce(&mut Self) -> Result<Value, ConditionError>,
    ) -> Result<Value, ConditionError> {
        if self.depth >= VALUE_DEPTH_MAX {
            return Err(ConditionError::ValueTooLarge);
        }
        self.spend("[]".len())?;
        self.depth += 1;
        let copied = copy(self)?;
        self.depth -= 1;
        Ok(copied)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ConditionError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > VALUE_BYTES_MAX { Err(ConditionError::ValueTooLarge) } else { Ok(()) }
    }
}

fn digits(number: u64) -> usize {
    1 + number.checked_ilog10().map_or(0, |tens| tens as usize)
}

const NOT_JSON: ConditionError = ConditionError::NotJson(NotJson::Type);

#[cfg(test)]
mod tests;
