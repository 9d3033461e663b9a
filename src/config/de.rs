//! The deserializer by which serde reads a tree.
//!
//! It is stricter than serde_yaml where that hides mistakes: an empty value (`key:`) is never "absent", a list is no
//! struct, and a number is no text. A value from a variable is text, and is read as a number or boolean where one is
//! expected. Dropped nodes are skipped.

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::TextFault;
use super::tree::{Body, MappingEntry, Node, Scalar, ScalarKind, resolve};

impl Node {
    /// Returns the kind of the scalar, with the value of a variable read as a plain scalar.
    fn loose_kind(&self) -> Option<ScalarKind<'_>> {
        match &self.body {
            Body::Scalar(Scalar { text, plain: true, written: Some(_), .. }) => Some(resolve(text)),
            Body::Scalar(scalar) => Some(scalar.kind()),
            Body::Seq(_) | Body::Map(_) => None,
        }
    }
}

fn wrong_type(expected: &dyn de::Expected) -> TextFault {
    TextFault::invalid_type(Unexpected::Other("another type"), expected)
}

fn visit_kind<'de, V: Visitor<'de>>(kind: ScalarKind<'_>, visitor: V) -> Result<V::Value, TextFault> {
    match kind {
        ScalarKind::Null => visitor.visit_unit(),
        ScalarKind::Bool(value) => visitor.visit_bool(value),
        ScalarKind::Int(value) => visitor.visit_i64(value),
        ScalarKind::Unsigned(value) => visitor.visit_u64(value),
        ScalarKind::Float(value) => visitor.visit_f64(value),
        ScalarKind::Text(text) => visitor.visit_str(text),
    }
}

macro_rules! loosely {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextFault> {
            match self.loose_kind() {
                Some(kind) => visit_kind(kind, visitor),
                None => Err(wrong_type(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = TextFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextFault> {
        match &self.body {
            Body::Scalar(scalar) => visit_kind(scalar.kind(), visitor),
            Body::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Body::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        }
    }

    loosely! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextFault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TextFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextFault> {
        match &self.body {
            Body::Map(_) => self.deserialize_any(visitor),
            Body::Scalar(_) | Body::Seq(_) => Err(wrong_type(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TextFault> {
        match &self.body {
            Body::Scalar(Scalar { text, .. }) if !matches!(self.loose_kind(), Some(ScalarKind::Null)) => {
                // `min_version: 1.2` is a number by YAML's rules; the schema says text, so the fix is a pair of quotes.
                match self.loose_kind() {
                    Some(ScalarKind::Text(_)) => visitor.visit_enum(text.as_str().into_deserializer()),
                    _ => Err(TextFault::UnknownValue { known: variants }),
                }
            }
            _ => Err(TextFault::WrongType { expected: "one of its words".to_owned() }),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = TextFault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TextFault> {
        self.0.by_ref().find(|item| !item.dropped).map(|item| seed.deserialize(item)).transpose()
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, MappingEntry>,
    value: Option<&'de Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = TextFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TextFault> {
        let Some(entry) = self.rest.by_ref().find(|entry| !entry.value.dropped) else { return Ok(None) };
        self.value = Some(&entry.value);
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, TextFault> {
        let value = self.value.take().ok_or_else(|| TextFault::custom("a value was read before its key"))?;
        seed.deserialize(value)
    }
}
