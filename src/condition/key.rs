//! Keys: the text that an expression makes of a request. Requests with the same key belong together.
//!
//! A text is itself; a number and a boolean are written out, so that `7` and `"7"` are one key. A number of the payload
//! has its own digits, all of them: `1.10` and `1.1` are two keys. A timestamp and a duration are written as `string()`
//! writes them. Null and an empty optional (`body.?customer`) mean that there is no key. An optional that holds a value
//! gives the key of that value. Any other value is an error, as is an expression that fails; the caller decides about
//! an event without an answer. A key is at most [`KEY_BYTES_MAX`] long: longer keys are cut, so keys with the same
//! beginning are one.

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelOptional, CelString, CelUInt};
use cel::common::value::Val;

use super::problem::kind_word;
use super::{ConditionError, KeyExpression, View, number, times};
use crate::credential::REDACTED;

/// Longest key.
pub const KEY_BYTES_MAX: usize = 1024;

impl KeyExpression {
    /// Returns the key of the request; `None` where the value means that there is none.
    pub fn key(&self, view: &View<'_>) -> Result<Option<String>, ConditionError> {
        self.0.evaluate(view, written_out)?
    }

    /// Returns what people see of `key`, which is the key of the request: all of it where it comes out alike without the
    /// values of variables, otherwise what comes out then if it names one.
    pub fn shown(&self, key: &str, view: &View<'_>) -> String {
        let Some(masked) = &self.0.masked else { return key.to_owned() };
        let without = masked.expression.as_ref().and_then(|masked| masked.evaluate(view, written_out).ok()?.ok()?);
        let without = without.filter(|without| without == key || without.contains("${"));
        without.unwrap_or_else(|| REDACTED.to_owned())
    }
}

fn written_out(value: &dyn Val) -> Result<Option<String>, ConditionError> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        let text = text.inner();
        return Ok(Some(text.get(..text.floor_char_boundary(KEY_BYTES_MAX)).unwrap_or(text).to_owned()));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return optional.inner().map_or(Ok(None), written_out);
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(None);
    }
    scalar(value).map(Some).ok_or_else(|| ConditionError::NotAKey(kind_word(value.get_type().name())))
}

fn scalar(value: &dyn Val) -> Option<String> {
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
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return number.inner().is_finite().then(|| number.inner().to_string());
    }
    times::written(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Hiding;
    use super::super::request::over;
    use super::*;

    fn key_of(text: &str, body: Option<&Value>) -> Result<Option<String>, ConditionError> {
        let expression = KeyExpression::compile(text).unwrap();
        over(body, |view| expression.key(view))
    }

    #[test]
    fn scalars_are_keys_and_null_or_an_empty_optional_says_that_there_is_none() {
        let body = json!({"text": "a", "empty": "", "int": -7, "big": u64::MAX, "half": 1.5, "one": 1.0, "yes": true,
            "nothing": null, "at": "2026-11-30T12:00:00.50+02:00"});
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
            ("timestamp(body.at)", Some("2026-11-30T10:00:00.5Z")),
            ("duration('90m')", Some("5400s")),
            ("body.nothing", None),
            ("body.?missing", None),
            ("body.?nothing", None),
            ("body.?text", Some("a")),
            ("body.?missing.orValue('none')", Some("none")),
        ];
        for (text, key) in keys {
            assert_eq!(key_of(text, Some(&body)), Ok(key.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_fails_or_is_no_scalar_is_an_error_and_not_an_event_without_a_key() {
        let body = json!({"list": ["a"], "map": {"a": 1}, "text": "soon"});
        let missing = || ConditionError::MissingKey { name: Some("missing".to_owned()) };
        for (text, error) in [
            ("body.missing", missing()),
            ("body.map.missing", missing()),
            ("body.list", ConditionError::NotAKey("a list")),
            ("body.map", ConditionError::NotAKey("an object")),
            ("body.?map", ConditionError::NotAKey("an object")),
            ("b'a'", ConditionError::NotAKey("bytes")),
            ("1.0 / 0.0", ConditionError::NotAKey("a number")),
            ("type(1)", ConditionError::NotAKey("a value of another kind")),
            (
                "body.text + 1",
                ConditionError::WrongType { found: Some("`+` cannot use a text and a number".to_owned()) },
            ),
            ("timestamp(body.text)", ConditionError::FunctionFailed { name: Some("timestamp") }),
        ] {
            assert_eq!(key_of(text, Some(&body)), Err(error), "{text}");
        }
        assert_eq!(key_of("body.text", None), Err(ConditionError::NoBody), "there is no JSON");
    }

    #[test]
    fn the_value_of_a_variable_in_a_key_is_not_shown() {
        for (text, masked, shown) in [
            ("'hunter2' + body.x", "'${V}' + body.x", "${V}a"),
            ("body.x == 'hunter2' ? 'y' : body.x", "body.x == '${V}' ? 'y' : body.x", "a"),
            ("'hunter2'.startsWith('h')", "'${V}'.startsWith('h')", REDACTED),
            ("size('hunter2')", "size('${V}')", REDACTED),
            ("body.x + string(2)", "body.x + string(${V})", REDACTED),
        ] {
            let key = KeyExpression::compile(text).unwrap();
            let key = key.hiding(vec![("hunter2".to_owned(), "${V}".to_owned())], masked);
            let said = over(Some(&json!({"x": "a"})), |view| key.shown(&key.key(view).unwrap().unwrap(), view));
            assert_eq!(said, shown, "{text}");
            assert!(!key.text_shown().contains("hunter2"));
        }
        let key = KeyExpression::compile("body['hunter2']").unwrap();
        let key = key.hiding(vec![("hunter2".to_owned(), "${V}".to_owned())], "body['${V}']");
        let error = over(Some(&json!({"x": "a"})), |view| key.key(view)).unwrap_err();
        assert_eq!(error, ConditionError::MissingKey { name: Some("${V}".to_owned()) });
    }

    #[test]
    fn a_long_key_is_cut_between_two_characters() {
        let body = json!({"long": format!("a{}", "ä".repeat(KEY_BYTES_MAX))});
        let key = key_of("body.long", Some(&body)).unwrap().unwrap();
        assert_eq!((key.len(), key.ends_with('ä')), (KEY_BYTES_MAX - 1, true));
    }
}
