//! `sources.<name>.body`: the way to read bodies, or their largest size, as the key was first used.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::config::units::ByteSize;
use crate::provider::BodySpec;

/// A way to read bodies, or their maximum size.
#[derive(Clone, Debug)]
pub enum Body {
    /// A way to read bodies.
    Read(BodySpec),
    /// The maximum size, as in `body_max`.
    Size(ByteSize),
}

impl Body {
    /// Returns the way to read bodies, if the value is one.
    pub fn spec(&self) -> Option<&BodySpec> {
        if let Self::Read(spec) = self { Some(spec) } else { None }
    }

    /// Returns the maximum size, if the value is one.
    pub fn size(&self) -> Option<ByteSize> {
        if let Self::Size(size) = self { Some(*size) } else { None }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrField;

        impl<'de> Visitor<'de> for WordOrField {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `json`, `form`, or the field of a form that holds the JSON: `{form: payload}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Body, E> {
                if let Some(spec) = BodySpec::of_word(text) {
                    return Ok(Body::Read(spec));
                }
                if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
                    return ByteSize::deserialize(de::value::StrDeserializer::<E>::new(text)).map(Body::Size);
                }
                let help = "write `auto`, `json`, `form` or `{form: FIELD}`; the largest body is `body_max: 1MiB`";
                Err(complaint(Code::UnknownValue, "is no way to read a body", help))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Body, E> {
                ByteSize::deserialize(de::value::U64Deserializer::<E>::new(number)).map(Body::Size)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Body, E> {
                ByteSize::deserialize(de::value::I64Deserializer::<E>::new(number)).map(Body::Size)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Body, E> {
                ByteSize::deserialize(de::value::F64Deserializer::<E>::new(number)).map(Body::Size)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
                BodySpec::deserialize(de::value::MapAccessDeserializer::new(map)).map(Body::Read)
            }
        }

        deserializer.deserialize_any(WordOrField)
    }
}

impl JsonSchema for Body {
    fn schema_name() -> Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (spec, size) = (generator.subschema_for::<BodySpec>(), generator.subschema_for::<ByteSize>());
        json_schema!({ "anyOf": [spec, size] })
    }
}
