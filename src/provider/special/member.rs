//! The text of one member of a JSON object, as it stands in the body: for schemes that sign a part of the body.
//!
//! The input is JSON that a parser has accepted; anything else gives nothing, or a text whose signature is not right. A
//! member that is there twice is refused, so that it is certain which text was signed.

use crate::provider::failure::{Failure, MessagePlace, PartFault};

/// Returns the text of the member `wanted`, without white space around it.
pub(super) fn member<'b>(body: &'b [u8], wanted: &str) -> Result<Option<&'b str>, Failure> {
    let malformed = |place, fault| Failure::malformed(place, fault);
    let body = std::str::from_utf8(body).ok().ok_or_else(|| malformed(MessagePlace::Body, PartFault::NotText))?;
    let inside = body.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut found = None;
    for piece in inside.map(|inside| split(inside, b',')).unwrap_or_default() {
        let parts = split(piece, b':');
        let [name, text] = parts.as_slice() else { continue };
        let is_wanted = serde_json::from_str::<String>(name).is_ok_and(|name| name == wanted);
        if is_wanted && found.replace(text.trim()).is_some() {
            return Err(malformed(MessagePlace::Json(format!("/{wanted}")), PartFault::Repeated));
        }
    }
    Ok(found)
}

/// Splits a text at separators that are neither in a string nor in brackets.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            other if other == separator && depth == 0 => {
                pieces.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}

#[cfg(test)]
mod tests {
    use super::member;

    #[test]
    fn a_member_is_found_as_it_stands() {
        let body = br#" {"a,b":"}\",:", "x" : {"y": [1.0, {"x":2}], "z":"\u00e9"} ,"\u006e":null} "#;
        assert_eq!(member(body, "x"), Ok(Some(r#"{"y": [1.0, {"x":2}], "z":"\u00e9"}"#)));
        assert_eq!(member(body, "n"), Ok(Some("null")));
        assert_eq!(member(body, "a,b"), Ok(Some(r#""}\",:""#)));
        assert_eq!(member(body, "y"), Ok(None));
        assert_eq!(member(b"{}", "y"), Ok(None));
        assert_eq!(member(b"[1]", "y"), Ok(None));
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        assert!(member(br#"{"x":1,"\u0078":2}"#, "x").is_err());
    }
}
