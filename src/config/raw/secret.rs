//! Secrets by their places; the file never holds a secret itself.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::fault::complaint;
use crate::config::problem::Code;

/// A secret, by the place that holds it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The name of the secret in logs, metrics and headers.
    pub name: Option<String>,
    /// The place that holds the secret.
    pub place: SecretPlace,
    /// The first day on which the secret is valid (UTC).
    pub not_before: Option<Date>,
    /// The last day on which the secret is valid (UTC).
    pub not_after: Option<Date>,
}

/// The place that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// A file; a newline at its end does not count.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A credential of systemd (`LoadCredential=`).
    Credential(String),
}

/// The place of a secret: exactly one of `file`, `env` and `credential`. The secret itself is never written here.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["env"]}, {"required": ["credential"]}]))]
struct SecretKeys {
    /// The name of the secret in logs, metrics and headers; a date is a good name. Default: the name of the place.
    name: Option<Called>,
    /// The path of a file that holds the secret.
    file: Option<PathBuf>,
    /// The name of an environment variable that holds the secret. A running gateway keeps its environment: another value
    /// needs a restart, where a file needs a reload.
    env: Option<String>,
    /// The name of a systemd credential (`LoadCredential=`) that holds the secret.
    credential: Option<String>,
    /// The first day on which the secret is valid (UTC).
    not_before: Option<Date>,
    /// The last day on which the secret is valid (UTC).
    not_after: Option<Date>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SecretKeys { name, file, env, credential, not_before, not_after } = SecretKeys::deserialize(deserializer)?;
        let mut places =
            [file.map(SecretPlace::File), env.map(SecretPlace::Env), credential.map(SecretPlace::Credential)]
                .into_iter()
                .flatten();
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(Self { name: name.map(|name| name.0), place, not_before, not_after }),
            (None, _) => {
                let help = "add one of `env: NAME`, `file: /run/secrets/NAME`, `credential: NAME`";
                Err(complaint(Code::MissingKey, "does not say where the secret is", help))
            }
            (Some(_), Some(_)) => {
                let help = "keep one of `file`, `env` and `credential`; two secrets are two items of the list";
                Err(complaint(Code::InvalidValue, "names more than one place", help))
            }
        }
    }
}

/// The name of a secret: a label of metrics and the value of `Hookgate-Verified`.
struct Called(String);

const CALLED_CHARS_MAX: usize = 64;

impl<'de> Deserialize<'de> for Called {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let help = match &*name {
            "" => "write something that tells it from the others, such as \"2026-10\"".to_owned(),
            "none" => "`none` stands for an event that no secret verified; choose another name".to_owned(),
            text if text.len() > CALLED_CHARS_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                format!(
                    "a name has at most {CALLED_CHARS_MAX} characters of ASCII and no spaces: it goes into a header"
                )
            }
            _ => return Ok(Self(name)),
        };
        Err(complaint(Code::InvalidValue, "cannot be the name of a secret", &help))
    }
}

impl JsonSchema for Called {
    fn schema_name() -> Cow<'static, str> {
        "SecretName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[!-~]{1,64}$", "not": { "const": "none" } })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SecretKeys::json_schema(generator)
    }
}

/// A value that a provider's scheme needs beside its secrets.
#[derive(Clone, Debug)]
pub enum ContextValue {
    /// A text.
    Text(String),
    /// A secret, by the place that holds it.
    Secret(Secret),
}

impl<'de> Deserialize<'de> for ContextValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrPlace;

        impl<'de> Visitor<'de> for TextOrPlace {
            type Value = ContextValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or the place of a secret such as `{env: NAME}`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ContextValue, E> {
                Ok(ContextValue::Text(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ContextValue, E> {
                Ok(ContextValue::Text(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ContextValue, A::Error> {
                Secret::deserialize(de::value::MapAccessDeserializer::new(map)).map(ContextValue::Secret)
            }
        }

        deserializer.deserialize_any(TextOrPlace)
    }
}

impl JsonSchema for ContextValue {
    fn schema_name() -> Cow<'static, str> {
        "ContextValue".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<Secret>();
        json_schema!({ "anyOf": [{ "type": ["string", "integer"] }, secret] })
    }
}

/// A day: `2026-12-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub jiff::civil::Date);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Date;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as `2026-12-01`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                // The length keeps out the other forms that the parser knows, such as a date with a time.
                let date = text.parse().ok().filter(|_| text.len() == "2026-12-01".len()).map(Date);
                date.ok_or_else(|| {
                    complaint(Code::InvalidValue, "is not a date", "write year, month and day: `2026-12-01`")
                })
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Date {
    fn schema_name() -> Cow<'static, str> {
        "Date".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date", "examples": ["2026-12-01"] })
    }
}

/// A moment with its zone: `2026-12-01T08:00:00Z` (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub jiff::Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a moment such as `2026-12-01T08:00:00Z`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                text.parse().map(Moment).ok().ok_or_else(|| {
                    let help = "write date, time and zone: `2026-12-01T08:00:00Z`";
                    complaint(Code::InvalidValue, "is not a moment with its zone", help)
                })
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
