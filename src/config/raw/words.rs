//! Single values with rules of their own: names, the version, the number of threads.

use std::borrow::{Borrow, Cow};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::config::units::Count;
use crate::provider;

/// The name of a listener, source, route, destination or provider: it becomes a label of metrics and a part of URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const NAME_CHARS_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(first)
        && text.chars().all(|c| first(c) || matches!(c, '_' | '.' | '-'))
}

/// Returns the valid name most like `text`, to suggest it.
fn name_like(text: &str) -> Option<String> {
    let like = text.trim().to_lowercase().replace(|c: char| c.is_whitespace() || c == '/', "-");
    is_name(&like).then_some(like)
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                if is_name(text) {
                    return Ok(Name(text.to_owned()));
                }
                let rule = "a name has at most 64 of the characters a-z, 0-9, `_`, `.` and `-`, and begins with a letter or digit";
                let help = match name_like(text) {
                    Some(like) => format!("write `{like}`: {rule}"),
                    None => rule.to_owned(),
                };
                Err(complaint(Code::InvalidName, "cannot be a name", &help))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$" })
    }
}

/// The schema of a provider's name: those that ship, to choose from, and any that `providers:` may have.
pub(super) enum ProviderName {}

impl JsonSchema for ProviderName {
    fn schema_name() -> Cow<'static, str> {
        "ProviderName".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (names, titles): (Vec<_>, Vec<_>) =
            provider::builtin().rows().map(|row| (row.id(), format!("{}: {}", row.title(), row.verified_by()))).unzip();
        let own = generator.subschema_for::<Name>();
        json_schema!({ "anyOf": [{ "type": "string", "enum": names, "enumDescriptions": titles }, own] })
    }
}

/// The version of the format: there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `version: 1`.
    V1,
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number 1")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Version, E> {
                let other =
                    || complaint(Code::InvalidValue, "is not a version that this program reads", "write `version: 1`");
                if number == 1 { Ok(Version::V1) } else { Err(other()) }
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

/// A number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One for each core.
    Auto,
    /// A fixed number.
    Fixed(Count),
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrNumber;

        impl Visitor<'_> for AutoOrNumber {
            type Value = Threads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto` or a number of 1 or more")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Threads, E> {
                match text {
                    "auto" => Ok(Threads::Auto),
                    _ => Err(complaint(
                        Code::UnknownValue,
                        "is not a number of threads",
                        "write `auto` or a number such as `4`",
                    )),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Threads, E> {
                Count::deserialize(de::value::U64Deserializer::new(number)).map(Threads::Fixed)
            }
        }

        // Asked for as a number, so that one out of a variable is read as a number.
        deserializer.deserialize_u32(AutoOrNumber)
    }
}

impl JsonSchema for Threads {
    fn schema_name() -> Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for (text, good) in [("stripe", true), ("no", true), ("2026-10", true), ("a.b_c-d", true), ("", false)] {
            assert_eq!(is_name(text), good, "{text}");
        }
        for text in ["Stripe", "-a", ".a", "a b", "a/b", "ä", "a\n", &"a".repeat(65)] {
            assert!(!is_name(text), "{text}");
        }
    }
}
