//! `sources.<name>.answers`: the answers by outcome.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::provider::AnswerSpec;

/// The answer to an outcome: a status, or a status with headers and a body.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The status alone; headers and body stay those of the provider's row, or the default.
    Status(u16),
    /// The status with headers and body.
    Whole(Box<AnswerSpec>),
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusOrMap;

        impl<'de> Visitor<'de> for StatusOrMap {
            type Value = Reply;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status such as `202`, or a map with `status`, `body` and `headers`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Reply, E> {
                let status = u16::try_from(number).ok().filter(|status| (200..600).contains(status));
                let help = "write a status from 200 to 599, such as `202`";
                let bad = || complaint(Code::InvalidValue, "is not a status to answer with", help);
                status.map(Reply::Status).ok_or_else(bad)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Reply, E> {
                self.visit_u64(u64::try_from(number).unwrap_or(0))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Reply, A::Error> {
                let whole = AnswerSpec::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Reply::Whole(Box::new(whole)))
            }
        }

        deserializer.deserialize_any(StatusOrMap)
    }
}

impl JsonSchema for Reply {
    fn schema_name() -> Cow<'static, str> {
        "Reply".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = generator.subschema_for::<AnswerSpec>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 200, "maximum": 599 }, whole] })
    }
}
