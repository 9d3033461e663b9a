//! Places in a JSON body that a transform sets and removes: JSON pointers (RFC 6901), or the bare name of a member of
//! the top level.
//!
//! Setting a missing place makes the objects on the way to it; `-` is the place after the last element of a list (RFC
//! 6902). Removing a missing place changes nothing.

use std::fmt;

use serde_json::{Map, Value};

use crate::payload::unescaped;

/// The longest way to a place.
const STEPS_MAX: usize = 64;

/// A place in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPlace {
    written: String,
    steps: Vec<String>,
}

/// The reason why a text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// The place is the whole body, which only `body` makes.
    Whole,
    /// A `~` stands before something else than `0` and `1`.
    Escape,
    /// The place has too many steps.
    TooDeep,
    /// The text has a `/` and does not begin with one.
    NoSlash,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("it is the whole body; write `transform: {body: …}` for that"),
            Self::Escape => f.write_str("`~` is written `~0` and `/` inside a name `~1` (RFC 6901)"),
            Self::NoSlash => f.write_str("begin it with `/`; a `/` inside a name is written `/a~1b`"),
            Self::TooDeep => write!(f, "it has more than {STEPS_MAX} steps"),
        }
    }
}

impl BodyPlace {
    /// Parses `/customer/email` or `status`.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let steps = match text.strip_prefix('/') {
            Some(path) => {
                path.split('/').map(unescaped).collect::<Result<Vec<_>, _>>().map_err(|_tilde| BadPath::Escape)?
            }
            None if text.is_empty() => return Err(BadPath::Whole),
            None if text.contains('/') => return Err(BadPath::NoSlash),
            None => vec![text.to_owned()],
        };
        if steps.len() > STEPS_MAX {
            return Err(BadPath::TooDeep);
        }
        Ok(Self { written: text.to_owned(), steps })
    }

    /// Returns the place as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Checks whether both are the same place, in any spelling.
    pub fn is_same(&self, other: &Self) -> bool {
        self.steps == other.steps
    }

    /// Checks whether the other place is this one or lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        other.steps.starts_with(&self.steps)
    }

    /// Checks whether a step is `-`: the end of a list, which is another place each time, or a member of that name.
    pub fn is_at_an_end(&self) -> bool {
        self.steps.iter().any(|step| step == "-")
    }

    /// Checks whether removing this place may move the other one: both lie in one list.
    pub fn moves(&self, other: &Self) -> bool {
        let Some((last, list)) = self.steps.split_last() else { return false };
        last.parse::<usize>().is_ok() && other.steps.len() > list.len() && other.steps.starts_with(list)
    }

    /// Orders an outer place before those that lie in it.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.steps.cmp(&other.steps)
    }

    /// Sets `value` here; returns false when a step on the way is neither object nor list, or a list is too short.
    pub(crate) fn set(&self, root: &mut Value, value: Value) -> bool {
        let mut at = root;
        for step in &self.steps {
            let next = match at {
                Value::Object(members) => {
                    Some(members.entry(step.clone()).or_insert_with(|| Value::Object(Map::new())))
                }
                Value::Array(items) => {
                    let index = if step == "-" { Some(items.len()) } else { step.parse::<usize>().ok() };
                    if index == Some(items.len()) {
                        items.push(Value::Object(Map::new()));
                    }
                    index.and_then(|index| items.get_mut(index))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            let Some(next) = next else { return false };
            at = next;
        }
        *at = value;
        true
    }

    /// Removes this place.
    pub(crate) fn remove(&self, root: &mut Value) {
        let Some((last, way)) = self.steps.split_last() else { return };
        let mut at = root;
        for step in way {
            let next = match at {
                Value::Object(members) => members.get_mut(step),
                Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            let Some(next) = next else { return };
            at = next;
        }
        match at {
            Value::Object(members) => drop(members.remove(last)),
            Value::Array(items) => {
                if let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) {
                    items.remove(index);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_set_and_what_is_missing_on_the_way_is_made() {
        let cases = [
            ("status", json!({"a": 1, "status": "new"})),
            ("/status", json!({"a": 1, "status": "new"})),
            ("/x/y/z", json!({"a": 1, "x": {"y": {"z": "new"}}})),
            ("/a", json!({"a": "new"})),
            ("/m~1n/~0", json!({"a": 1, "m/n": {"~": "new"}})),
        ];
        for (place, expected) in cases {
            let mut body = json!({"a": 1});
            assert!(BodyPlace::parse(place).unwrap().set(&mut body, json!("new")), "{place}");
            assert_eq!(body, expected, "{place}");
        }
        let mut list = json!({"l": [1, 2]});
        assert!(BodyPlace::parse("/l/-").unwrap().set(&mut list, json!(3)));
        assert!(BodyPlace::parse("/l/0").unwrap().set(&mut list, json!(0)));
        assert_eq!(list, json!({"l": [0, 2, 3]}));
        for place in ["/l/9", "/l/x", "/l/0/deeper"] {
            assert!(!BodyPlace::parse(place).unwrap().set(&mut list, json!(3)), "{place}");
        }
    }

    #[test]
    fn what_is_not_there_is_removed_without_a_word() {
        let mut body = json!({"customer": {"email": "a@b", "name": "A"}, "l": [1, 2]});
        for place in ["/customer/email", "/customer/phone", "/l/0", "/l/7", "/x/y"] {
            BodyPlace::parse(place).unwrap().remove(&mut body);
        }
        assert_eq!(body, json!({"customer": {"name": "A"}, "l": [2]}));
    }

    #[test]
    fn an_outer_place_holds_and_comes_before_what_lies_in_it_in_any_spelling() {
        let place = |text| BodyPlace::parse(text).unwrap();
        let mut places = ["/a/b", "a", "/a-x", "/a/b/0"].map(place);
        places.sort_by(BodyPlace::order);
        assert_eq!(places.each_ref().map(BodyPlace::as_str), ["a", "/a/b", "/a/b/0", "/a-x"]);
        assert!(place("a").is_same(&place("/a")) && place("a").holds(&place("/a/b")) && place("a").holds(&place("/a")));
        assert!(!place("/a").holds(&place("/ab")) && !place("/a/b").holds(&place("/a")));
        assert!(place("/l/0").moves(&place("/l/1/x")) && place("/l/0").moves(&place("/l/0")));
        assert!(!place("/l/x").moves(&place("/l/1")) && !place("/l/0").moves(&place("/l")));
    }

    #[test]
    fn what_names_no_place_says_why() {
        assert_eq!(BodyPlace::parse(""), Err(BadPath::Whole));
        assert_eq!(BodyPlace::parse("customer/email"), Err(BadPath::NoSlash));
        assert_eq!(BodyPlace::parse("/a~"), Err(BadPath::Escape));
        assert_eq!(BodyPlace::parse("/a~2"), Err(BadPath::Escape));
        assert_eq!(BodyPlace::parse(&"/a".repeat(65)), Err(BadPath::TooDeep));
    }
}
