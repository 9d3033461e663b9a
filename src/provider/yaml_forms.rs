//! Values that YAML users may spell in more than one way: durations with units, numbers that mean texts, and lists that
//! may be written as their only item.
//!
//! The visitors are written by hand, because serde's `untagged` would swallow both the reason and the place of an
//! error.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// The distance by which a timestamp may lie from our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    Within(Duration),
    Unbounded,
}

/// Reads the catalogue's `tol`: seconds as a bare number, null for no window.
pub(super) fn tolerance_in_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tolerance>, D::Error> {
    let seconds = Option::<u64>::deserialize(deserializer)?;
    Ok(Some(seconds.map_or(Tolerance::Unbounded, |seconds| Tolerance::Within(Duration::from_secs(seconds)))))
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToleranceVisitor)
    }
}

struct ToleranceVisitor;

impl Visitor<'_> for ToleranceVisitor {
    type Value = Tolerance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as `5m` or `300s`, or `none`")
    }

    fn visit_u64<E: Error>(self, bare: u64) -> Result<Tolerance, E> {
        Err(E::custom(format_args!("{bare} has no unit: write `{bare}s`")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tolerance, E> {
        if text == "none" {
            return Ok(Tolerance::Unbounded);
        }
        if let Ok(bare) = text.parse() {
            return self.visit_u64(bare);
        }
        duration(text).map(Tolerance::Within).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Reads `500ms`, `30s`, `5m`, `2h` or `1d`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

impl JsonSchema for Tolerance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d)|none)$", "examples": ["5m"]})
    }
}

/// A text that YAML may read as a whole number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextOrNumber(pub(super) String);

impl<'de> Deserialize<'de> for TextOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = TextOrNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<TextOrNumber, E> {
        Ok(TextOrNumber(number.to_string()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TextOrNumber, E> {
        Ok(TextOrNumber(text.to_owned()))
    }
}

impl JsonSchema for TextOrNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"]})
    }
}

/// A list that may be written as its only item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData)).map(Self)
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one item or a list of items")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        T::deserialize(StrDeserializer::new(text)).map(|item| vec![item])
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|item| vec![item])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Vec<T>, A::Error> {
        let items = Vec::<T>::deserialize(SeqAccessDeserializer::new(items))?;
        if items.is_empty() { Err(A::Error::invalid_length(0, &"at least one item")) } else { Ok(items) }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})
    }
}

/// Lets an object's schema take keys by their short names too, which serde knows as aliases and schemars does not. Editors
/// are told not to offer them.
pub(super) fn short_names(names: &'static [(&'static str, &'static str)]) -> impl FnMut(&mut Schema) {
    move |schema| {
        for (short, long) in names {
            let Some(mut property) = schema.pointer(&format!("/properties/{long}")).cloned() else { continue };
            if let Some(property) = property.as_object_mut() {
                property.insert("doNotSuggest".to_owned(), true.into());
            }
            if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
                properties.insert((*short).to_owned(), property);
            }
            let Some(required) = schema.pointer_mut("/required").and_then(Value::as_array_mut) else { continue };
            let before = required.len();
            required.retain(|name| name != long);
            if required.len() < before {
                schema.insert("anyOf".to_owned(), json!([{ "required": [long] }, { "required": [short] }]));
            }
        }
    }
}

/// A length of time with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeSpan(pub(super) Duration);

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ToleranceVisitor)? {
            Tolerance::Within(duration) => Ok(Self(duration)),
            Tolerance::Unbounded => Err(D::Error::custom("a duration with its unit, such as `5m`")),
        }
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["5s"]})
    }
}

/// A map that keeps the order in which it is written, for texts that are compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairs<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Pairs_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"type": "object", "additionalProperties": item})
    }
}
