//! The body of a request as JSON: hygiene first, parsed once.
//!
//! Two ways in, which accept and refuse exactly the same inputs:
//! - [`Payload::parse`] builds one `serde_json::Value`, for sources with a schema or a condition;
//! - [`Payload::scan`] builds nothing and picks a few scalars, for sources that need only the event's type and id.
//!
//! Both refuse what two readers could read differently, and what could exhaust resources: invalid UTF-8, trailing data,
//! duplicate keys, nesting deeper than [`DEPTH_MAX`], numbers that fit no `f64` or are longer than
//! [`NUMBER_BYTES_MAX`], lone surrogates. A byte order mark at the start is skipped. A number keeps its text, digit for
//! digit. Memory stays proportional to the body: duplicates are found in the map being built, or in one list of the
//! keys of the open objects.
//!
//! Not here: writing JSON, because bodies are forwarded as the bytes that were received.

mod decimal;
mod form;
mod keys;
mod malformed;
mod number;
mod parse;
mod pointer;
mod scan;

use std::borrow::Cow;

use serde_json::Value;

pub use decimal::Decimal;
pub use form::{FIELDS_MAX, FORM_BYTES_MAX, Form, FormFault};
pub use malformed::{BodyPosition, Malformed};
pub use number::NUMBER_BYTES_MAX;
pub use pointer::{BadPointer, Pointer, escaped, unescaped};
pub use scan::{POINTERS_MAX, Scanned};

/// The deepest nesting of arrays and objects; the limit is serde_json's own.
pub const DEPTH_MAX: usize = 127;

/// A body that is sound JSON, as a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    value: Value,
}

impl Payload {
    /// Checks the body and builds its tree.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (mark, text) = text_of(body)?;
        parse::tree(text).map(|value| Self { value }).map_err(|malformed| malformed.behind(mark))
    }

    /// Returns the tree of a body that may hold the same key twice; the last one counts. For signatures, which are
    /// verified before the body is checked.
    pub fn lenient(body: &[u8]) -> Option<Value> {
        parse::lenient(std::str::from_utf8(body).ok()?)
    }

    /// Checks the body as [`Payload::parse`] does, but keeps only the scalars at `pointers`.
    ///
    /// Pointers beyond [`POINTERS_MAX`] are not looked up.
    pub fn scan<'a>(body: &'a [u8], pointers: &'a [Pointer]) -> Result<Scanned<'a>, Malformed> {
        let (mark, text) = text_of(body)?;
        scan::scalars(text, pointers).map_err(|malformed| malformed.behind(mark))
    }

    /// Checks the body as [`Payload::parse`] does, and returns a tree of only the scalars at `pointers`, as text. These
    /// pointers find the same texts in it as in the whole tree.
    pub fn sketch(body: &[u8], pointers: &[Pointer]) -> Result<Value, Malformed> {
        let scanned = Self::scan(body, pointers)?;
        let mut sketch = Value::Object(serde_json::Map::new());
        for pointer in pointers {
            if let Some(text) = scanned.text_at(pointer) {
                pointer.place(&mut sketch, text.into_owned());
            }
        }
        Ok(sketch)
    }

    /// Returns the tree.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the tree, and consumes the payload.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Returns the string, number or boolean at `pointer`, as text.
    pub fn text_at(&self, pointer: &Pointer) -> Option<Cow<'_, str>> {
        match pointer.find(&self.value)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Borrowed(number.as_str())),
            Value::Bool(flag) => Some(Cow::Borrowed(bool_text(*flag))),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn bool_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// The byte order mark in UTF-8, which senders write by mistake; it says nothing.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the body without the byte order mark that it may begin with.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Returns the text of the body, and the length of the byte order mark before it.
///
/// One check of the whole body is cheaper than one check a string, and gives both ways in the same verdict.
fn text_of(body: &[u8]) -> Result<(usize, &str), Malformed> {
    let text = without_mark(body);
    let checked = std::str::from_utf8(text);
    let mark = body.len() - text.len();
    checked
        .map(|text| (mark, text))
        .map_err(|error| Malformed::NotUtf8 { at: BodyPosition::of(body, mark + error.valid_up_to()) })
}

#[cfg(test)]
mod tests;
