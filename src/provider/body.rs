//! The reading of a provider's bodies: one fact of its row, which `body:` of a source overrides.
//!
//! The fact tells what is JSON and where; `crate::body` reads by it.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The way in which bodies are read for event types, delivery ids, schemas and expressions. A body that claims to be
/// JSON is read as JSON under every one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BodySpec {
    /// By its content type; for schemas also what parses as JSON.
    #[default]
    Auto,
    /// As JSON, whatever its content type says.
    Json,
    /// As a form, whose fields are what schemas check.
    Form,
    /// A form has JSON in one of its fields, which is read as the body.
    Field {
        /// The field.
        name: String,
        /// True when a form without the field is read as [`BodySpec::Form`] reads it.
        or_form: bool,
    },
}

/// The form field that holds the body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FieldSpec {
    /// The form field with the JSON: `payload`.
    #[schemars(length(min = 1))]
    form: String,
    /// The way to read a form without that field. With `form`, schemas check the fields of such a form. Without `else`,
    /// a source with schemas cannot check such a form.
    r#else: Option<OtherForm>,
}

/// The way to read a form without the field.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OtherForm {
    /// As a form, whose fields are what schemas check.
    Form,
}

impl BodySpec {
    /// The words that stand for a way of reading.
    pub const WORDS: [&str; 3] = ["auto", "json", "form"];

    /// Returns the way of reading that a word stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "json" => Some(Self::Json),
            "form" => Some(Self::Form),
            _ => None,
        }
    }
}

/// Writes it as rows do.
impl fmt::Display for BodySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Json => f.write_str("json"),
            Self::Form => f.write_str("form"),
            Self::Field { name, or_form: false } => write!(f, "{{form: {name}}}"),
            Self::Field { name, or_form: true } => write!(f, "{{form: {name}, else: form}}"),
        }
    }
}

impl<'de> Deserialize<'de> for BodySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrField;

        impl<'de> Visitor<'de> for WordOrField {
            type Value = BodySpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto`, `json`, `form`, or the field of a form that holds the JSON: `{form: payload}`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<BodySpec, E> {
                BodySpec::of_word(word).ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BodySpec, A::Error> {
                let FieldSpec { form, r#else } = FieldSpec::deserialize(MapAccessDeserializer::new(map))?;
                if form.is_empty() {
                    return Err(A::Error::invalid_value(Unexpected::Str(""), &self));
                }
                Ok(BodySpec::Field { name: form, or_form: r#else.is_some() })
            }
        }

        deserializer.deserialize_any(WordOrField)
    }
}

impl JsonSchema for BodySpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BodySpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<FieldSpec>();
        json_schema!({ "anyOf": [{ "enum": Self::WORDS }, field] })
    }
}
