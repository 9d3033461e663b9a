//! The visitor that builds the tree and finds duplicate keys in the map being built.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::map::{Entry, Map};

use super::malformed::{Malformed, OUT_OF_RANGE, Trail};
use super::number::{self, ExponentNumbers, First, FirstKey};

pub(super) fn tree(text: &str) -> Result<Value, Malformed> {
    let trail = RefCell::new(Trail::default());
    read(text, &trail, Twice::Refused).map_err(|error| Malformed::of(&error, text, trail.into_inner()))
}

/// Returns the tree, in which the last of two equal keys counts.
pub(super) fn lenient(text: &str) -> Option<Value> {
    read(text, &RefCell::new(Trail::default()), Twice::LastCounts).ok()
}

fn read(text: &str, trail: &RefCell<Trail>, twice: Twice) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let numbers = ExponentNumbers::of(text);
    let value = Tree { trail, numbers: &numbers, twice }.deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

/// The treatment of a key that an object has twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    Refused,
    LastCounts,
}

#[derive(Clone, Copy)]
struct Tree<'t> {
    trail: &'t RefCell<Trail>,
    numbers: &'t ExponentNumbers<'t>,
    twice: Twice,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            match seq.next_element_seed(self) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Value::Array(items)),
                Err(error) => {
                    self.trail.borrow_mut().climb_index(items.len());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut next = match object.next_key_seed(FirstKey)? {
            Some(First::Number) => {
                let written = self.numbers.written(object.next_value()?);
                return written.map(number::number).ok_or_else(|| A::Error::custom(OUT_OF_RANGE));
            }
            Some(First::Key(key)) => Some(key.into_owned()),
            None => None,
        };
        while let Some(key) = next {
            match map.entry(key) {
                Entry::Vacant(place) => match object.next_value_seed(self) {
                    Ok(value) => {
                        place.insert(value);
                    }
                    Err(error) => {
                        self.trail.borrow_mut().climb_key(place.key());
                        return Err(error);
                    }
                },
                Entry::Occupied(mut first) if self.twice == Twice::LastCounts => {
                    first.insert(object.next_value_seed(self)?);
                }
                Entry::Occupied(first) => {
                    self.trail.borrow_mut().begin(first.key());
                    return Err(A::Error::custom("duplicate key"));
                }
            }
            next = object.next_key()?;
        }
        Ok(Value::Object(map))
    }
}
