//! `sources.<name>.allow_ips`: ranges, names of providers that publish theirs, or both.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::Cidr;
use crate::provider;

/// The addresses that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowIps(pub Vec<Allowed>);

/// Some of the addresses that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A range.
    Range(Cidr),
    /// The addresses that the provider of this name publishes.
    Provider(String),
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeOrName;

        impl Visitor<'_> for RangeOrName {
            type Value = Allowed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a range of IP addresses such as `10.0.0.0/8`, or the name of a provider such as `github`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Allowed, E> {
                // No address begins with a letter unless it has a colon.
                if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains([':', '/', '.']) {
                    return Ok(Allowed::Provider(text.to_owned()));
                }
                Cidr::deserialize(de::value::StrDeserializer::new(text)).map(Allowed::Range)
            }
        }

        deserializer.deserialize_str(RangeOrName)
    }
}

impl<'de> Deserialize<'de> for AllowIps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = AllowIps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of IP ranges, or the name of a provider such as `github`")
            }

            fn visit_str<E: de::Error>(self, one: &str) -> Result<AllowIps, E> {
                Allowed::deserialize(de::value::StrDeserializer::new(one)).map(|one| AllowIps(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AllowIps, A::Error> {
                let mut allowed = Vec::new();
                while let Some(one) = items.next_element()? {
                    allowed.push(one);
                }
                Ok(AllowIps(allowed))
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

impl JsonSchema for Allowed {
    fn schema_name() -> Cow<'static, str> {
        "Allowed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let rows = provider::builtin().rows();
        let names: Vec<&str> = rows.filter(|row| row.preset().is_some()).map(provider::Row::id).collect();
        json_schema!({
            "description": "A range of IP addresses such as `10.0.0.0/8`, or the name of a provider that publishes its own.",
            "anyOf": [{ "enum": names }, { "type": "string" }],
        })
    }
}

impl JsonSchema for AllowIps {
    fn schema_name() -> Cow<'static, str> {
        "AllowIps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Allowed>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
