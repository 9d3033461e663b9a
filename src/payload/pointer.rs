//! JSON pointers (RFC 6901), parsed once when the configuration is loaded.

use std::fmt;

use serde_json::Value;

/// A parsed JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    tokens: Vec<String>,
}

/// The reason why a text is not a JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPointer {
    /// The text is not empty and does not begin with `/`.
    NoLeadingSlash,
    /// A `~` is followed by neither `0` nor `1`.
    BadEscape,
}

impl fmt::Display for BadPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLeadingSlash => "a JSON pointer begins with \"/\"",
            Self::BadEscape => "in a JSON pointer \"~\" is written \"~0\" and \"/\" inside a name \"~1\"",
        })
    }
}

impl std::error::Error for BadPointer {}

impl Pointer {
    /// Parses `/a/b~1c/0`; the empty text points at the whole document.
    pub fn parse(text: &str) -> Result<Self, BadPointer> {
        if text.is_empty() {
            return Ok(Self { tokens: Vec::new() });
        }
        let path = text.strip_prefix('/').ok_or(BadPointer::NoLeadingSlash)?;
        path.split('/').map(unescaped).collect::<Result<_, _>>().map(|tokens| Self { tokens })
    }

    /// Returns the value at the pointer.
    pub fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.tokens.iter().try_fold(root, |value, token| match value {
            Value::Object(map) => map.get(token),
            Value::Array(items) => items.get(index_of(token)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Puts a text at the pointer, through objects only: an index of an array becomes a key.
    pub(super) fn place(&self, root: &mut Value, text: String) {
        let mut at = root;
        for token in &self.tokens {
            if !at.is_object() {
                *at = Value::Object(serde_json::Map::new());
            }
            let Value::Object(members) = at else { return };
            at = members.entry(token.clone()).or_insert(Value::Null);
        }
        *at = Value::String(text);
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn names_key(&self, depth: usize, key: &str) -> bool {
        self.tokens.get(depth).is_some_and(|token| token == key)
    }

    pub(super) fn names_index(&self, depth: usize, index: usize) -> bool {
        self.tokens.get(depth).and_then(|token| index_of(token)) == Some(index)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", escaped(token)))
    }
}

/// A name as it is written inside a pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The name that a pointer writes as `token`.
pub fn unescaped(token: &str) -> Result<String, BadPointer> {
    let mut pieces = token.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (letter, rest) = match (piece.strip_prefix('0'), piece.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (None, Some(rest)) => ('/', rest),
            (None, None) => return Err(BadPointer::BadEscape),
        };
        name.push(letter);
        name.push_str(rest);
    }
    Ok(name)
}

/// Parses the index of an array, which has no sign and no leading zero.
fn index_of(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    canonical.then(|| token.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_6901_are_found() {
        let document = json!({"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "~1": 9});
        for (text, expected) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/m~0n", json!(8)),
            ("/~01", json!(9)),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.find(&document), Some(&expected), "{text}");
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn other_spellings_of_an_index_find_nothing() {
        let document = json!(["a", "b"]);
        for text in ["/00", "/01", "/+1", "/-", "/-1", "/2", "/1/", "/x"] {
            assert_eq!(Pointer::parse(text).unwrap().find(&document), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!(Pointer::parse("a"), Err(BadPointer::NoLeadingSlash));
        for text in ["/~", "/~2", "/a~"] {
            assert_eq!(Pointer::parse(text), Err(BadPointer::BadEscape), "{text}");
        }
    }
}
