//! Whole numbers of things, which are never zero.
//!
//! "None at all" is never written as 0 in the file: for a setting without a limit, the key is left out.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

use super::fault::complaint;
use super::problem::Code;

/// A whole number of 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub NonZeroU32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of 1 or more")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
                let help = "write a whole number from 1 to 4294967295";
                let count = u32::try_from(number).ok().and_then(NonZeroU32::new).map(Count);
                count.ok_or_else(|| complaint(Code::InvalidValue, "is out of range", help))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
                Err(E::invalid_type(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_u32(Whole)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number of 1 or more.",
            "type": "integer",
            "minimum": 1,
            "maximum": u32::MAX,
        })
    }
}
