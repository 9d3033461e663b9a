//! A form (`application/x-www-form-urlencoded`): its fields, decoded when something asks for them.
//!
//! Fields are read by the URL standard: `&` parts them, the first `=` parts name and value, `+` is a space, `%XX` is a
//! byte, and a `%` that begins no such byte stays. Bytes that are not UTF-8 become U+FFFD in text; [`Form::sole`]
//! returns the bytes as they are, for callers that refuse such bytes.
//!
//! Invariants: a form has at most [`FIELDS_MAX`] fields in [`FORM_BYTES_MAX`] bytes, which is counted before anything is
//! decoded; a field that comes twice is never taken for one that comes once.
//!
//! Not here: `multipart/form-data`.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use serde_json::map::{Entry, Map};
use serde_json::{Value, json};

/// Most fields of a form.
pub const FIELDS_MAX: usize = 1_000;
/// Largest form: as large as any body that is taken.
pub const FORM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A form, or the absence of one, which has no fields.
#[derive(Debug, Default)]
pub struct Form<'b> {
    bytes: &'b [u8],
    first: OnceLock<Value>,
    all: OnceLock<Value>,
}

/// The reason why a form, or one of its fields, is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormFault {
    /// More than `FIELDS_MAX` fields.
    TooManyFields,
    /// More than `FORM_BYTES_MAX` bytes.
    TooLarge,
    /// A field of which one value is wanted comes more than once.
    Twice(String),
}

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyFields => write!(f, "the form has more than {FIELDS_MAX} fields"),
            Self::TooLarge => write!(f, "the form has more than {} MiB", FORM_BYTES_MAX >> 20),
            Self::Twice(name) => write!(f, "the form field {} is there twice", Value::from(name.as_str())),
        }
    }
}

impl std::error::Error for FormFault {}

impl<'b> Form<'b> {
    /// Takes bytes as a form, if it is within the limits. Nothing is decoded yet.
    pub fn new(bytes: &'b [u8]) -> Result<Self, FormFault> {
        if bytes.len() > FORM_BYTES_MAX {
            return Err(FormFault::TooLarge);
        }
        let form = Self { bytes, ..Self::default() };
        if form.fields().nth(FIELDS_MAX).is_some() { Err(FormFault::TooManyFields) } else { Ok(form) }
    }

    /// Returns the form as it came.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Returns the value of the field `name` as bytes; an error if the field comes more than once.
    pub fn sole(&self, name: &str) -> Result<Option<Cow<'b, [u8]>>, FormFault> {
        let mut values = self.fields().filter(|(known, _)| *decoded(known) == *name.as_bytes()).map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err(FormFault::Twice(name.to_owned()));
        }
        Ok(first.map(decoded))
    }

    /// Returns an object of each field's first value.
    pub fn first(&self) -> &Value {
        self.first.get_or_init(|| {
            let mut first = Map::new();
            for (name, value) in self.texts() {
                first.entry(name).or_insert(Value::String(value));
            }
            Value::Object(first)
        })
    }

    /// Returns an object of each field's values, as lists.
    pub fn all(&self) -> &Value {
        self.all.get_or_init(|| {
            let mut all = Map::new();
            for (name, value) in self.texts() {
                if let Value::Array(values) = all.entry(name).or_insert_with(|| json!([])) {
                    values.push(Value::String(value));
                }
            }
            Value::Object(all)
        })
    }

    /// Returns an object of each field's value; a field that comes more than once has a list, so that no value is lost.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        for (name, value) in self.texts() {
            match document.entry(name) {
                Entry::Vacant(place) => drop(place.insert(Value::String(value))),
                Entry::Occupied(mut place) => match place.get_mut() {
                    Value::Array(values) => values.push(Value::String(value)),
                    one => *one = json!([one.take(), value]),
                },
            }
        }
        Value::Object(document)
    }

    fn texts(&self) -> impl Iterator<Item = (String, String)> {
        let text = |bytes: &'b [u8]| String::from_utf8_lossy(&decoded(bytes)).into_owned();
        self.fields().map(move |(name, value)| (text(name), text(value)))
    }

    fn fields(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        let fields = self.bytes.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
        fields.map(|field| match field.iter().position(|byte| *byte == b'=') {
            Some(at) => field
                .split_at_checked(at)
                .map_or((field, &[][..]), |(name, rest)| (name, rest.strip_prefix(b"=").unwrap_or_default())),
            None => (field, &[][..]),
        })
    }
}

/// Decodes a name or a value.
fn decoded(written: &[u8]) -> Cow<'_, [u8]> {
    if !written.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(written);
    }
    let mut decoded = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.split_first_chunk::<2>()) {
            (b'+', _) => decoded.push(b' '),
            (b'%', Some((digits, behind))) => match byte_of(*digits) {
                Some(byte) => {
                    decoded.push(byte);
                    rest = behind;
                }
                None => decoded.push(b'%'),
            },
            (plain, _) => decoded.push(*plain),
        }
    }
    Cow::Owned(decoded)
}

fn byte_of([high, low]: [u8; 2]) -> Option<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    Some(nibble(high)? << 4 | nibble(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form<'_> {
        Form::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn fields_are_decoded_as_the_url_standard_says() {
        let form = form("Body=a+b%21&From=%2B1&empty=&bare&&=nameless&c=100%&d=%zz&e=%C3%A4&f=%FF&a=b=c");
        let wanted = json!({"Body": "a b!", "From": "+1", "empty": "", "bare": "", "": "nameless", "c": "100%",
            "d": "%zz", "e": "ä", "f": "\u{fffd}", "a": "b=c"});
        assert_eq!(*form.first(), wanted);
        assert_eq!(form.sole("f").unwrap().as_deref(), Some(&b"\xff"[..]), "its bytes are known");
    }

    #[test]
    fn of_a_repeated_field_the_first_value_counts_and_all_are_there() {
        let form = form("a=1&b=2&a=3&a=4");
        assert_eq!(*form.first(), json!({"a": "1", "b": "2"}));
        assert_eq!(*form.all(), json!({"a": ["1", "3", "4"], "b": ["2"]}));
        assert_eq!(form.document(), json!({"a": ["1", "3", "4"], "b": "2"}));
        assert_eq!(form.sole("a"), Err(FormFault::Twice("a".into())));
        assert_eq!((form.sole("b").unwrap().as_deref(), form.sole("c")), (Some(&b"2"[..]), Ok(None)));
    }

    #[test]
    fn a_field_whose_name_is_written_otherwise_is_the_same_field() {
        assert_eq!(form("payload=1&p%61yload=2").sole("payload"), Err(FormFault::Twice("payload".into())));
        assert_eq!(form("%70ayload=1").sole("payload").unwrap().as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_form_has_its_limits() {
        assert!(Form::new("a&".repeat(FIELDS_MAX).as_bytes()).is_ok());
        assert_eq!(Form::new("a&".repeat(FIELDS_MAX + 1).as_bytes()).err(), Some(FormFault::TooManyFields));
    }
}
