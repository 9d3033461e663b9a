//! The reply to a handshake: text, JSON or headers, made from the message by templates.
//!
//! JSON is put together member by member in the order of the row, because some providers compare bytes; every text is
//! escaped by the JSON library. A reply has at most 8 KiB and is `text/plain`, `application/json` or empty.

use std::fmt;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::handshake::HandshakeReply;
use super::handshake_spec::{HandshakeProblem, header_value, reply_header};
use super::message::View;
use super::template::{Source, Template};
use super::yaml_forms::Pairs;

/// The longest body, and the longest header, of a reply, in bytes.
const REPLY_BYTES_MAX: usize = 8 * 1024;
/// The label that stands for `{sign}` inside.
const SIGN: &str = "sign";

/// The reply to a handshake, in its written form.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplySpec {
    /// The status, from 200 to 599. Default: 200.
    #[serde(default = "ok")]
    status: u16,
    /// Headers, whose values are templates.
    #[serde(default)]
    headers: Pairs<String>,
    /// The body as `text/plain`, a template.
    text: Option<String>,
    /// The body as `application/json`, in which every text is a template.
    json: Option<JsonSpec>,
}

/// A JSON value whose texts are templates.
#[derive(Clone, Debug)]
enum JsonSpec {
    Text(String),
    Plain(serde_json::Value),
    Map(Pairs<JsonSpec>),
}

impl<'de> Deserialize<'de> for JsonSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = JsonSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, a boolean or a map of them")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Plain(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Plain(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Plain(value.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonSpec, E> {
                Ok(JsonSpec::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsonSpec, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(JsonSpec::Map)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for JsonSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonReply".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer", "boolean", "object"]})
    }
}

/// The compiled form of a reply to a handshake.
#[derive(Clone, Debug)]
pub(super) struct ReplyForm {
    status: u16,
    headers: Vec<(HeaderName, Template)>,
    body: BodyForm,
}

#[derive(Clone, Debug)]
enum BodyForm {
    Empty,
    Text(Template),
    Json(JsonForm),
}

#[derive(Clone, Debug)]
enum JsonForm {
    Text(Template),
    Plain(String),
    Map(Vec<(String, JsonForm)>),
}

impl ReplySpec {
    pub(super) fn compile(&self) -> Result<ReplyForm, HandshakeProblem> {
        let Self { status, headers, text, json } = self;
        if !(200..600).contains(status) {
            return Err(HandshakeProblem::Reply("write a status from 200 to 599"));
        }
        let mut compiled = Vec::new();
        for (name, value) in &headers.0 {
            compiled.push((reply_header(name)?, template(value)?));
        }
        let body = match (text, json) {
            (None, None) => BodyForm::Empty,
            _ if matches!(status, 204 | 304) => return Err(HandshakeProblem::Reply("no body goes with this status")),
            (Some(text), None) => BodyForm::Text(template(text)?),
            (None, Some(json)) => BodyForm::Json(json.compile()?),
            (Some(_), Some(_)) => return Err(HandshakeProblem::Reply("write `text` or `json`")),
        };
        Ok(ReplyForm { status: *status, headers: compiled, body })
    }
}

impl JsonSpec {
    fn compile(&self) -> Result<JsonForm, HandshakeProblem> {
        Ok(match self {
            Self::Text(text) => JsonForm::Text(template(text)?),
            Self::Plain(value) => JsonForm::Plain(value.to_string()),
            Self::Map(members) => {
                let mut compiled = Vec::with_capacity(members.0.len());
                for (name, value) in &members.0 {
                    compiled.push((name.clone(), value.compile()?));
                }
                JsonForm::Map(compiled)
            }
        })
    }
}

/// Parses a template that may have `{sign}`, which templates elsewhere do not have.
fn template(text: &str) -> Result<Template, HandshakeProblem> {
    let parsed = Template::parse(&text.replace("{sign}", "{ctx:sign}"));
    parsed.map_err(|problem| {
        // Another value of the same length keeps the place of the fault in the written text.
        let as_long = Template::parse(&text.replace("{sign}", "{path}")).err();
        HandshakeProblem::Template(as_long.unwrap_or(problem).moved_into(text, 0))
    })
}

impl ReplyForm {
    /// Returns whether a value comes from the JSON body.
    pub(super) fn needs_json(&self) -> bool {
        let reads = |template: &Template| template.uses(|source| matches!(source, Source::Json(_)));
        self.headers.iter().any(|(_, value)| reads(value))
            || match &self.body {
                BodyForm::Empty => false,
                BodyForm::Text(text) => reads(text),
                BodyForm::Json(json) => json.any(&reads),
            }
    }

    /// Returns the reply to a message; `None` if a value is missing or too long.
    pub(super) fn render(&self, view: &View<'_>, sign: Option<&str>) -> Option<HandshakeReply> {
        let mut context = view.context.clone();
        if let Some(sign) = sign {
            context.insert(SIGN.to_owned(), sign.to_owned());
        }
        let view = View { context: &context, ..*view };
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.push((name.clone(), header_value(&bounded(value, &view)?)?));
        }
        let (content_type, body) = match &self.body {
            BodyForm::Empty => (None, Vec::new()),
            BodyForm::Text(text) => (Some("text/plain"), bounded(text, &view)?),
            BodyForm::Json(json) => {
                let mut body = String::new();
                json.write(&view, &mut body)?;
                (Some("application/json"), body.into_bytes())
            }
        };
        let fits = body.len() <= REPLY_BYTES_MAX;
        fits.then_some(HandshakeReply { status: self.status, content_type, headers, body, captured: None, open: None })
    }
}

fn bounded(template: &Template, view: &View<'_>) -> Option<Vec<u8>> {
    let bytes = view.render(template).ok()?.concat();
    (bytes.len() <= REPLY_BYTES_MAX).then_some(bytes)
}

impl JsonForm {
    fn any(&self, wanted: &impl Fn(&Template) -> bool) -> bool {
        match self {
            Self::Text(text) => wanted(text),
            Self::Plain(_) => false,
            Self::Map(members) => members.iter().any(|(_, value)| value.any(wanted)),
        }
    }

    fn write(&self, view: &View<'_>, out: &mut String) -> Option<()> {
        match self {
            Self::Text(text) => {
                let value = String::from_utf8(bounded(text, view)?).ok()?;
                out.push_str(&serde_json::to_string(&value).ok()?);
            }
            Self::Plain(value) => out.push_str(value),
            Self::Map(members) => {
                out.push('{');
                for (position, (name, value)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    out.push_str(&serde_json::to_string(name).ok()?);
                    out.push(':');
                    value.write(view, out)?;
                }
                out.push('}');
            }
        }
        Some(())
    }
}

const fn ok() -> u16 {
    200
}
