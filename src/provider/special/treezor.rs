//! Treezor: an HMAC over `object_payload` as PHP writes JSON, beside it as `object_payload_signature` in base64.
//!
//! Source: the provider's page on integrity checks, with its samples in several languages: no white space, `/` written
//! `\/`, everything beyond ASCII written `\u` and four small hexadecimal digits. Only strings are written anew; names keep
//! their order and numbers their digits, so that nothing is lost that the samples would keep.
//!
//! Only `object_payload` is signed, not the name of the event beside it: the body does not count as covered. There is no
//! time.

use serde_json::Value;

use super::member::member;
use super::{Needs, first_right};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::{KeyedMac, MacAlgorithm, same};
use crate::provider::message::{MessageBytes, View};
use crate::provider::scheme::Encoding;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { json: true, ..Needs::NOTHING };

const TAG_BYTES: usize = 32;

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let at = || MessagePlace::Json("/object_payload_signature".to_owned());
    let payload = || MessagePlace::Json("/object_payload".to_owned());
    let signature = view.json.and_then(|json| json.get("object_payload_signature")).and_then(Value::as_str);
    let signature = signature.ok_or_else(|| Failure::Missing(at()))?;
    let signature = Encoding::Base64.decode(signature.as_bytes()).filter(|bytes| bytes.len() == TAG_BYTES);
    let signature = signature.ok_or_else(|| Failure::malformed(at(), PartFault::Encoding))?;
    let json = member(view.message.body, "object_payload")?.ok_or_else(|| Failure::Missing(payload()))?;
    let text = as_php_writes(json).ok_or_else(|| Failure::malformed(payload(), PartFault::NotJson))?;
    let pieces = [MessageBytes::Borrowed(text.as_bytes())];
    let tag = |secret: &[u8]| KeyedMac::new(MacAlgorithm::Sha256, secret).tag(&pieces);
    let secret = first_right(keys, |secret| same(&tag(secret), &signature))?;
    Ok(Match::by_secret(secret))
}

/// Writes JSON without white space and with its strings escaped as PHP escapes them.
fn as_php_writes(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    let mut rest = json.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => string(&mut rest, &mut out)?,
            ' ' | '\t' | '\n' | '\r' => {}
            other => out.push(other),
        }
    }
    Some(out)
}

/// Writes one string, from behind its first quote to its last.
fn string(rest: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    out.push('"');
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => {
                let unit = match rest.next()? {
                    'b' => 0x08,
                    'f' => 0x0c,
                    'n' => 0x0a,
                    'r' => 0x0d,
                    't' => 0x09,
                    'u' => {
                        let digits = rest.as_str().get(..4)?;
                        rest.nth(3);
                        u16::from_str_radix(digits, 16).ok()?
                    }
                    same @ ('"' | '\\' | '/') => same as u16,
                    _ => return None,
                };
                escaped(unit, out);
            }
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped(*unit, out)),
        }
    }
    out.push('"');
    Some(())
}

fn escaped(unit: u16, out: &mut String) {
    match u8::try_from(unit).map(char::from) {
        Ok(mark @ ('"' | '\\' | '/')) => out.extend(['\\', mark]),
        Ok('\u{8}') => out.push_str("\\b"),
        Ok('\u{c}') => out.push_str("\\f"),
        Ok('\n') => out.push_str("\\n"),
        Ok('\r') => out.push_str("\\r"),
        Ok('\t') => out.push_str("\\t"),
        Ok(plain @ ' '..='\u{7f}') => out.push(plain),
        _ => {
            out.push_str("\\u");
            out.extend(
                [12, 8, 4, 0].map(|shift| char::from_digit((u32::from(unit) >> shift) & 15, 16).unwrap_or_default()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::as_php_writes;

    #[test]
    fn strings_are_escaped_as_php_escapes_them_and_nothing_else_changes() {
        let of = |json| as_php_writes(json).unwrap();
        assert_eq!(of("{ \"b\" : [1.0, 2e3,\n null], \"a\": true }"), r#"{"b":[1.0,2e3,null],"a":true}"#);
        assert_eq!(of(r#""é/\/\"\\ \u00E9\u002f""#), r#""\u00e9\/\/\"\\ \u00e9\/""#);
        assert_eq!(of("\"😀\u{7f}\""), "\"\\ud83d\\ude00\u{7f}\"");
        assert_eq!(of(r#""\ud83d\uDE00\b\f\n\r\t\u0001""#), r#""\ud83d\ude00\b\f\n\r\t\u0001""#);
        assert_eq!(as_php_writes("\"open"), None);
        assert_eq!(as_php_writes(r#""\x""#), None);
    }
}
