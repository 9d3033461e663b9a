//! Keys: the text that an expression makes of a request, by which requests belong together.
//!
//! A text is itself; a number and a boolean are written out, so that `7` and `"7"` are one key. A number of the payload
//! has its own digits, all of them: `1.10` and `1.1` are two keys. Anything else, and any
//! error, is no key: whoever asked does without. A key is at most [`KEY_BYTES_MAX`] long; what is longer is cut, and
//! keys that begin alike for so long are one.

use cel::common::types::{CelBool, CelDouble, CelInt, CelString, CelUInt};
use cel::common::value::Val;

use super::{KeyExpression, View, number};

/// Longest key.
pub const KEY_BYTES_MAX: usize = 1024;

impl KeyExpression {
    /// The key of the request, if it has one.
    pub fn key(&self, view: &View<'_>) -> Option<String> {
        match self.0.evaluate(view, written_out) {
            Ok(key) => key,
            Err(error) => {
                tracing::debug!(%error, "an expression gave no key");
                None
            }
        }
    }
}

fn written_out(value: &dyn Val) -> Option<String> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        let text = text.inner();
        return Some(text.get(..text.floor_char_boundary(KEY_BYTES_MAX)).unwrap_or(text).to_owned());
    }
    if let Some(flag) = value.downcast_ref::<CelBool>() {
        return Some(flag.inner().to_string());
    }
    if let Some(int) = value.downcast_ref::<CelInt>() {
        return Some(int.inner().to_string());
    }
    if let Some(uint) = value.downcast_ref::<CelUInt>() {
        return Some(uint.inner().to_string());
    }
    if let Some(digits) = number::digits(value) {
        return Some(digits);
    }
    value
        .downcast_ref::<CelDouble>()
        .filter(|number| number.inner().is_finite())
        .map(|number| number.inner().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::request::over;
    use super::*;

    fn key_of(text: &str, body: Option<&Value>) -> Option<String> {
        let expression = KeyExpression::compile(text).unwrap();
        over(body, |view| expression.key(view))
    }

    #[test]
    fn scalars_are_keys_and_nothing_else_is() {
        let body = json!({"text": "a", "empty": "", "int": -7, "big": u64::MAX, "half": 1.5, "one": 1.0, "yes": true,
            "nothing": null, "list": ["a"], "map": {"a": 1}});
        let keys = [
            ("body.text", Some("a")),
            ("body.empty", Some("")),
            ("body.int", Some("-7")),
            ("body.big", Some("18446744073709551615")),
            ("body.half", Some("1.5")),
            ("body.one", Some("1.0")),
            ("body.one + 1.0", Some("2")),
            ("body.yes", Some("true")),
            ("source + '/' + event.id", Some("github/e1")),
            ("body.nothing", None),
            ("body.list", None),
            ("body.map", None),
            ("body.missing", None),
            ("body.?missing", None),
            ("body.?missing.orValue('none')", Some("none")),
            ("1.0 / 0.0", None),
        ];
        for (text, key) in keys {
            assert_eq!(key_of(text, Some(&body)).as_deref(), key, "{text}");
        }
        assert_eq!(key_of("body.text", None), None, "there is no JSON");
    }

    #[test]
    fn a_long_key_is_cut_between_two_characters() {
        let body = json!({"long": format!("a{}", "ä".repeat(KEY_BYTES_MAX))});
        let key = key_of("body.long", Some(&body)).unwrap();
        assert_eq!((key.len(), key.ends_with('ä')), (KEY_BYTES_MAX - 1, true));
    }
}
