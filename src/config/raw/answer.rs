//! `sources.<name>.answers`: which status answers which outcome; and `allow_ips`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::Cidr;
use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::refusal::RequestOutcome;

/// What became of a request: a key of `answers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome(pub RequestOutcome);

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = Outcome;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an outcome")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Outcome, E> {
                let known = RequestOutcome::of_label(text).map(Outcome);
                known.ok_or_else(|| E::unknown_field(text, &RequestOutcome::LABELS))
            }
        }

        deserializer.deserialize_str(Word)
    }
}

impl JsonSchema for Outcome {
    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": RequestOutcome::LABELS })
    }
}

/// The HTTP status of an answer, from 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Status;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status such as `202`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Status, E> {
                let status = u16::try_from(number).ok().filter(|status| (200..600).contains(status));
                let help = "write a status from 200 to 599, such as `202`";
                status.map(Status).ok_or_else(|| complaint(Code::InvalidValue, "is not a status to answer with", help))
            }
        }

        deserializer.deserialize_u16(Number)
    }
}

impl JsonSchema for Status {
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 200, "maximum": 599 })
    }
}

/// The addresses that may call: a list of ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowIps(pub Vec<Cidr>);

impl<'de> Deserialize<'de> for AllowIps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ranges;

        impl<'de> Visitor<'de> for Ranges {
            type Value = AllowIps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of IP ranges")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<AllowIps, E> {
                let help = "write the ranges out: `allow_ips: [192.30.252.0/22]`";
                Err(complaint(
                    Code::Unsupported,
                    "names a preset list, which is not supported by this version yet",
                    help,
                ))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AllowIps, A::Error> {
                let mut ranges = Vec::new();
                while let Some(range) = items.next_element()? {
                    ranges.push(range);
                }
                Ok(AllowIps(ranges))
            }
        }

        deserializer.deserialize_any(Ranges)
    }
}

impl JsonSchema for AllowIps {
    fn schema_name() -> Cow<'static, str> {
        "AllowIps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <Vec<Cidr>>::json_schema(generator)
    }
}
