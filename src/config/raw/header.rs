//! The value of a header that is set: a text, or the place of a secret.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{Secret, SecretPlace};
use crate::config::fault::complaint;
use crate::config::problem::Code;

/// The value of a header.
#[derive(Clone, Debug)]
pub enum HeaderText {
    /// A text.
    Text(String),
    /// The value of a secret, with a text before it.
    Secret {
        /// The place that holds the secret.
        secret: Secret,
        /// The text before the secret, such as `Bearer `.
        prefix: String,
    },
}

/// The place of a secret that becomes the value of a header: exactly one of `file`, `env` and `credential`. The value
/// is never shown. A newline at the end of the secret does not count.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["env"]}, {"required": ["credential"]}]))]
struct HeaderSecret {
    /// The path of a file that holds the secret.
    file: Option<PathBuf>,
    /// The name of an environment variable that holds the secret. A running gateway keeps its environment: another value
    /// needs a restart, where a file needs a reload.
    env: Option<String>,
    /// The name of a systemd credential (`LoadCredential=`) that holds the secret.
    credential: Option<String>,
    /// The text that is put before the secret, such as `"Bearer "`.
    #[serde(default)]
    prefix: String,
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrPlace;

        impl<'de> Visitor<'de> for TextOrPlace {
            type Value = HeaderText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or the place of a secret such as `{env: NAME}`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HeaderText, E> {
                Ok(HeaderText::Text(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderText, E> {
                Ok(HeaderText::Text(text.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<HeaderText, A::Error> {
                let map = de::value::MapAccessDeserializer::new(map);
                let HeaderSecret { file, env, credential, prefix } = HeaderSecret::deserialize(map)?;
                let places =
                    [file.map(SecretPlace::File), env.map(SecretPlace::Env), credential.map(SecretPlace::Credential)];
                let mut places = places.into_iter().flatten();
                match (places.next(), places.next()) {
                    (Some(place), None) => {
                        let secret = Secret { name: None, place, not_before: None, not_after: None };
                        Ok(HeaderText::Secret { secret, prefix })
                    }
                    (None, _) => {
                        let help = "add one of `file: /run/secrets/NAME`, `env: NAME`, `credential: NAME`";
                        Err(complaint(Code::MissingKey, "does not say where the value is", help))
                    }
                    (Some(_), Some(_)) => {
                        let help = "keep one of `file`, `env` and `credential`: a header has one value";
                        Err(complaint(Code::InvalidValue, "names more than one place", help))
                    }
                }
            }
        }

        deserializer.deserialize_any(TextOrPlace)
    }
}

impl JsonSchema for HeaderText {
    fn schema_name() -> Cow<'static, str> {
        "HeaderText".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<HeaderSecret>();
        json_schema!({ "anyOf": [{ "type": ["string", "integer"] }, secret] })
    }
}
