//! payOS: an HMAC over the members of `data`, sorted by name and written as `name=value&…`; `null` is written as nothing.
//!
//! Source: npm @payos/node 2.0.5 (`webhooks.verify`, `createSignatureFromObj`). Values are written as that language
//! writes them: whole numbers without a fraction, lists as JSON with their objects' members sorted. Values that it
//! writes uselessly (objects, lists of anything but flat objects and texts, numbers with an exponent) are refused, and
//! so is a text that could be the next pair (`&…=`), because members could be moved into it.
//!
//! Only `data` is signed: members beside it can be changed by anyone, so the body does not count as covered. There is no
//! time: a repetition is known by `data.reference`, not here.

use serde_json::{Map, Number, Value};

use super::{Needs, SecretForm, first_right};
use crate::provider::border::refuse;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::{KeyedMac, MacAlgorithm, same};
use crate::provider::message::{MessageBytes, View, holds_pair};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Text, json: true, ..Needs::NOTHING };

const TAG_BYTES: usize = 32;
/// The range of numbers that are written without an exponent.
const PLAIN_NUMBERS: std::ops::Range<f64> = 1e-6..1e21;

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let place = || MessagePlace::Json("/signature".to_owned());
    let member = |name| view.json.and_then(|json| json.get(name));
    let signature = member("signature").and_then(Value::as_str).ok_or_else(|| Failure::Missing(place()))?;
    let signature = Encoding::Hex.decode(signature.as_bytes()).filter(|bytes| bytes.len() == TAG_BYTES);
    let signature = signature.ok_or_else(|| Failure::malformed(place(), PartFault::Encoding))?;
    let data = member("data").and_then(Value::as_object);
    let data = data.ok_or_else(|| Failure::Missing(MessagePlace::Json("/data".to_owned())))?;
    let text = signed_text(data)?;
    let pieces = [MessageBytes::Borrowed(text.as_bytes())];
    let tag = |secret: &[u8]| KeyedMac::new(MacAlgorithm::Sha256, secret).tag(&pieces);
    let secret = first_right(keys, |secret| same(&tag(secret), &signature))?;
    Ok(Match::by_secret(secret))
}

fn signed_text(data: &Map<String, Value>) -> Result<String, Failure> {
    let mut written = Vec::with_capacity(data.len());
    for (name, value) in sorted(data) {
        let has_sign = |sign| refuse(sign, name.as_bytes(), || place_of(name));
        has_sign(b'=').and_then(|()| has_sign(b'&'))?;
        let text = match value {
            Value::Array(items) => list(name, items)?,
            Value::Null => String::new(),
            Value::String(text) if text == "null" || text == "undefined" => String::new(),
            Value::String(text) => text.clone(),
            other => scalar(other).ok_or_else(|| unwritable(name))?,
        };
        if holds_pair(text.as_bytes(), "&", "=") {
            return Err(Failure::malformed(place_of(name), PartFault::Separator('&')));
        }
        written.push(format!("{name}={text}"));
    }
    Ok(written.join("&"))
}

/// Sorts members by UTF-16 units, as the SDK does.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    members
}

/// Writes a list of flat objects as JSON. A text counts as an object of its UTF-16 units, as the SDK sees it.
fn list(name: &str, items: &[Value]) -> Result<String, Failure> {
    let mut written = Vec::with_capacity(items.len());
    for item in items {
        let members: Option<Vec<String>> = match item {
            Value::Object(members) => sorted(members)
                .into_iter()
                .map(|(name, value)| Some(format!("{}:{}", Value::String(name.clone()), scalar(value)?)))
                .collect(),
            Value::String(text) => Some(
                text.encode_utf16().enumerate().map(|(at, unit)| format!("\"{at}\":{}", unit_text(unit))).collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        };
        written.push(format!("{{{}}}", members.ok_or_else(|| unwritable(name))?.join(",")));
    }
    Ok(format!("[{}]", written.join(",")))
}

/// Writes one UTF-16 unit as a text in JSON; half a pair is escaped.
fn unit_text(unit: u16) -> String {
    match char::from_u32(unit.into()) {
        Some(character) => Value::String(character.into()).to_string(),
        None => format!("\"\\u{unit:04x}\""),
    }
}

/// Writes a single value as it stands in JSON; `None` for one that has parts of its own.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Some(value.to_string()),
        Value::Number(number) => number_text(number),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn number_text(number: &Number) -> Option<String> {
    if let Some(number) = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)) {
        return Some(number.to_string());
    }
    let value = number.as_f64()?;
    if value == 0.0 {
        return Some("0".to_owned());
    }
    PLAIN_NUMBERS.contains(&value.abs()).then(|| value.to_string())
}

fn unwritable(name: &str) -> Failure {
    Failure::malformed(place_of(name), PartFault::NotScalar("a list, an object or an odd number"))
}

fn place_of(name: &str) -> MessagePlace {
    MessagePlace::Json(format!("/data/{name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::signed_text;

    fn text(data: &str) -> Option<String> {
        let data: Value = serde_json::from_str(data).unwrap();
        signed_text(data.as_object().unwrap()).ok()
    }

    /// The texts are what the provider's Node SDK signed for the same input.
    #[test]
    fn members_are_written_as_the_sdk_writes_them() {
        assert_eq!(text(r#"{"b":1,"a":"x","B":4}"#).unwrap(), "B=4&a=x&b=1");
        let empty = text(r#"{"n":null,"t":true,"s":"null","u":"undefined","e":""}"#).unwrap();
        assert_eq!(empty, "e=&n=&s=&t=true&u=");
        let list = text(r#"{"a":[{"z":1,"a":"é\u0001"},{"b":null}],"c":[]}"#).unwrap();
        assert_eq!(list, r#"a=[{"a":"é\u0001","z":1},{"b":null}]&c=[]"#);
        let texts = text(r#"{"a":["x\"","é😀",""]}"#).unwrap();
        assert_eq!(texts, r#"a=[{"0":"x","1":"\""},{"0":"é","1":"\ud83d","2":"\ude00"},{}]"#);
        let numbers = text(r#"{"a":1.0,"b":1e3,"c":0.1,"f":-0.0,"h":100000000000000000000}"#).unwrap();
        assert_eq!(numbers, "a=1&b=1000&c=0.1&f=0&h=100000000000000000000");
    }

    #[test]
    fn what_the_sdk_writes_uselessly_is_refused() {
        for data in [
            r#"{"o":{"x":1}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[null]}"#,
            r#"{"a":[{"b":[]}]}"#,
            r#"{"a":1e21}"#,
            r#"{"a":1e-7}"#,
        ] {
            assert_eq!(text(data), None, "{data}");
        }
    }
}
