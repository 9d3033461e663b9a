//! The reading of request bodies: one function, for the gates, stored events, transforms, searches and explanations.
//!
//! The content type says what a body claims to be. `body:` of the source, or of its provider's row, says what is
//! expected. A [`Document`] holds what was read: JSON (the body itself, or one field of a form), a form, or nothing.
//! Where there is no JSON, the document says why.
//!
//! Invariants: a body that claims to be JSON and does not parse is malformed; it is never passed over. A form is not
//! decoded before something asks for its fields. JSON is parsed once.
//!
//! Not here: what becomes of a body that cannot be read, which the gates decide. Multipart bodies are not read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;

use crate::condition::Received;
use crate::payload::{Form, Malformed, Payload, Pointer};
use crate::provider::BodySpec;
use crate::refusal::PayloadProblem;

const FORM: &str = "application/x-www-form-urlencoded";
/// A longer media type is cut where it is shown: it comes from a stranger.
const MEDIA_TYPE_CHARS_MAX: usize = 80;

/// The part of a JSON body that is read. `Scalars` and `Tree` check all of the body; `Nothing` checks none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// No part, because nothing reads it.
    Nothing,
    /// Event type and delivery id only: a scan, a third of the cost of a tree.
    Scalars(Vec<Pointer>),
    /// A tree, for schemas, conditions, keys and handshakes.
    Tree,
}

/// The rules by which the bodies of one source are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRules {
    /// The kind of body that is expected.
    pub spec: BodySpec,
    /// True when the provider sends its JSON as plain text too. A body of type `text/plain` then claims to be JSON if
    /// it begins with `{` or `[`.
    pub json_as_text: bool,
    /// True when a body counts as JSON if it parses as JSON, whatever its content type. A body that may be a form is
    /// parsed as JSON only if it begins with `{` or `[`.
    pub takes_any: bool,
}

/// A body that was read.
#[derive(Debug)]
pub struct Document<'b> {
    json: Option<Value>,
    form: Form<'b>,
    how: How,
    media_type: Option<String>,
}

/// The kind of content that a body was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    /// JSON, as it says, or as the source says.
    Json,
    /// JSON of another content type.
    JsonByContent,
    /// The JSON in this field of a form.
    JsonInField(String),
    /// A form, which schemas check or not; the field that it should have and lacks.
    Form { is_checked: bool, lacks: Option<String> },
    /// An empty body.
    Empty,
    /// Neither JSON nor a form; the reason why it is not JSON, if that was tried.
    Unread(Option<Malformed>),
    /// Not what it claims to be.
    Malformed(PayloadProblem),
}

/// Returns the media type in the headers of a request, in lower case, without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
}

/// Returns whether `media_type` is a type of JSON by the MIME Sniffing standard.
fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}

/// Returns whether `media_type` is a generic type, which clients send by default and which says nothing of the content.
fn says_nothing(media_type: &str) -> bool {
    matches!(media_type, "text/plain" | "application/octet-stream")
}

fn looks_like_json(body: &[u8]) -> bool {
    matches!(crate::payload::without_mark(body).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Returns whether no form has this character: whoever writes one encodes it.
fn is_no_form(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}

impl Reading {
    fn parse(&self, body: &[u8]) -> Result<Option<Value>, Malformed> {
        match self {
            Self::Nothing => Ok(None),
            Self::Scalars(pointers) => Payload::sketch(body, pointers).map(Some),
            Self::Tree => Payload::parse(body).map(Payload::into_value).map(Some),
        }
    }
}

impl Default for BodyRules {
    /// Returns the rules for a source of which nothing is known any more.
    fn default() -> Self {
        Self { spec: BodySpec::Auto, json_as_text: false, takes_any: true }
    }
}

impl BodyRules {
    /// Reads a body that came with this media type.
    pub fn read<'b>(&self, media_type: Option<String>, body: &'b [u8], reading: &Reading) -> Document<'b> {
        let document = |json, form, how| Document { json, form, how, media_type: media_type.clone() };
        let plain = |how| document(None, Form::default(), how);
        let kind = media_type.as_deref();
        if body.is_empty() && self.spec != BodySpec::Json {
            return plain(How::Empty);
        }
        if self.spec == BodySpec::Json || self.is_claimed(kind, body) {
            return match reading.parse(body) {
                Ok(json) => document(json, Form::default(), How::Json),
                Err(malformed) => plain(How::of(malformed)),
            };
        }
        let is_form = kind == Some(FORM);
        let may_be_form = is_form || (self.spec == BodySpec::Form && kind.is_none_or(says_nothing));
        let mut reason = None;
        // A form of one field without a value may be a JSON number.
        let may_be_json = looks_like_json(body) || !may_be_form;
        if self.takes_any && may_be_json {
            match reading.parse(body) {
                Ok(json) => return document(json, Form::default(), How::JsonByContent),
                Err(malformed) => reason = Some(malformed),
            }
        }
        if !may_be_form {
            return plain(How::Unread(reason));
        }
        if !is_form && body.iter().copied().any(is_no_form) {
            return plain(How::malformed("the body is not a form: it has control characters"));
        }
        match Form::new(body) {
            Ok(form) => {
                let (json, how) = self.of_form(&form, reading);
                document(json, form, how)
            }
            Err(fault) => plain(How::malformed(fault)),
        }
    }

    /// Returns whether a body claims to be JSON. Its media type decides. A body without a media type, and one of
    /// `text/plain` under `json_as_text`, claims to be JSON by beginning with `{` or `[`.
    fn is_claimed(&self, media_type: Option<&str>, body: &[u8]) -> bool {
        match media_type {
            Some(kind) if is_json(kind) => true,
            Some(kind) => kind == "text/plain" && self.json_as_text && looks_like_json(body),
            None => looks_like_json(body),
        }
    }

    /// Reads a form: as the JSON in the field that `spec` names, otherwise as fields alone.
    fn of_form(&self, form: &Form<'_>, reading: &Reading) -> (Option<Value>, How) {
        let BodySpec::Field { name, or_form } = &self.spec else {
            return (None, How::Form { is_checked: self.spec == BodySpec::Form, lacks: None });
        };
        match form.sole(name) {
            Ok(None) => (None, How::Form { is_checked: *or_form, lacks: Some(name.clone()) }),
            Ok(Some(value)) => match reading.parse(&value) {
                Ok(json) => (json, How::JsonInField(name.clone())),
                Err(malformed) => (None, How::of(malformed).in_field(name)),
            },
            Err(fault) => (None, How::malformed(fault)),
        }
    }
}

impl How {
    fn of(malformed: Malformed) -> Self {
        let message = malformed.to_string();
        let pointer = if let Malformed::DuplicateKey { pointer, .. } = malformed { pointer } else { String::new() };
        Self::Malformed(PayloadProblem { pointer, message })
    }

    fn malformed(message: impl fmt::Display) -> Self {
        Self::Malformed(PayloadProblem { pointer: String::new(), message: message.to_string() })
    }

    fn in_field(self, name: &str) -> Self {
        match self {
            Self::Malformed(PayloadProblem { pointer, message }) => {
                let message = format!("in the form field {}: {message}", quoted(name));
                Self::Malformed(PayloadProblem { pointer, message })
            }
            other => other,
        }
    }
}

fn quoted(name: &str) -> Value {
    Value::from(name)
}

impl Document<'_> {
    /// Returns the JSON that was read.
    pub fn json(&self) -> Option<&Value> {
        self.json.as_ref()
    }

    /// Returns the form that came, as it came.
    pub fn form_bytes(&self) -> Option<&[u8]> {
        self.is_form().then(|| self.form.bytes())
    }

    /// Returns the form's fields by name, each with its first value; no fields where no form came.
    pub fn fields(&self) -> &Value {
        self.form.first()
    }

    /// Returns whether the body came as a form, with or without JSON in one of its fields.
    pub fn is_form(&self) -> bool {
        !self.form.bytes().is_empty()
    }

    /// Returns the reason why the body is not what it claims to be; `None` for a body that is not malformed.
    pub fn malformed(&self) -> Option<&PayloadProblem> {
        if let How::Malformed(problem) = &self.how { Some(problem) } else { None }
    }

    /// Returns the value that schemas check: the JSON, or the fields of a form where forms are expected.
    pub fn checked(&self) -> Option<Cow<'_, Value>> {
        match &self.how {
            How::Form { is_checked: true, lacks: _ } => Some(Cow::Owned(self.form.document())),
            _ => self.json.as_ref().map(Cow::Borrowed),
        }
    }

    /// Describes what was expected and what came, for a body that schemas cannot check.
    pub fn unchecked(&self) -> PayloadProblem {
        let of = self.content_type();
        let came = match &self.how {
            How::Empty => "the body is empty".to_owned(),
            How::Form { lacks: Some(field), .. } => format!("the body is a form without the field {}", quoted(field)),
            How::Form { lacks: None, .. } => "the body is a form".to_owned(),
            How::Unread(Some(reason)) => format!("the body is not JSON ({of}): {reason}"),
            _ => format!("the body is not read as JSON ({of})"),
        };
        let message = format!(
            "JSON is expected, and {came}; `body:` of the source says how bodies are read, `content_types:` which are taken"
        );
        PayloadProblem { pointer: String::new(), message }
    }

    /// Returns the reason for which there is no JSON; `None` where there is.
    pub fn why_no_json(&self) -> Option<String> {
        Received::no_json(self)
    }

    /// Describes, for people, what the body was read as.
    pub fn told(&self) -> String {
        let of = self.content_type();
        match &self.how {
            How::Json => format!("read as JSON ({of})"),
            How::JsonByContent => format!("read as JSON, because it parses as JSON ({of})"),
            How::JsonInField(field) => format!("read as the JSON in form field {} ({of})", quoted(field)),
            How::Form { lacks: None, .. } => format!("read as a form ({of})"),
            How::Form { lacks: Some(field), .. } => {
                format!("read as a form; it has no field {} ({of})", quoted(field))
            }
            How::Empty => format!("empty ({of})"),
            How::Unread(None) => format!("not read: neither JSON nor a form ({of}); see `body:` of the source"),
            How::Unread(Some(reason)) => format!("not read: neither JSON nor a form ({of}): {reason}"),
            How::Malformed(problem) => format!("not read: {} ({of})", problem.message),
        }
    }

    /// Returns the word of the log for what the body was read as.
    pub fn label(&self) -> &'static str {
        match &self.how {
            How::Json | How::JsonByContent => "json",
            How::JsonInField(_) => "form_field",
            How::Form { .. } => "form",
            How::Empty => "empty",
            How::Unread(_) => "unread",
            How::Malformed(_) => "malformed",
        }
    }

    /// Returns whether the body is not empty and no JSON was found in it. Its event type and delivery id may stand in
    /// the part that was not read.
    pub fn is_unread(&self) -> bool {
        match &self.how {
            How::Json | How::JsonByContent | How::JsonInField(_) | How::Empty => false,
            How::Form { .. } | How::Unread(_) | How::Malformed(_) => true,
        }
    }

    fn content_type(&self) -> String {
        match &self.media_type {
            None => "no content type".to_owned(),
            Some(kind) => match kind.char_indices().nth(MEDIA_TYPE_CHARS_MAX) {
                Some((at, _)) => format!("content type {}…", kind.get(..at).unwrap_or_default()),
                None => format!("content type {kind}"),
            },
        }
    }
}

impl Received for Document<'_> {
    fn form(&self) -> &Value {
        self.form.first()
    }

    fn form_all(&self) -> &Value {
        self.form.all()
    }

    fn no_json(&self) -> Option<String> {
        let of = self.content_type();
        match &self.how {
            How::Json | How::JsonByContent | How::JsonInField(_) => None,
            How::Empty => Some("the body is not JSON: it is empty".to_owned()),
            How::Form { .. } => {
                Some(format!("the body is not JSON ({of}): it is a form, whose fields are `form.NAME`"))
            }
            How::Unread(_) => {
                Some(format!("the body is not JSON ({of}); `body:` of the source says how bodies are read"))
            }
            How::Malformed(problem) => Some(format!("the body is not JSON ({of}): {}", problem.message)),
        }
    }
}

/// The body rules of each source, for readers of stored requests. `takes_any` is on for all of them, because reading a
/// stored request accepts nothing.
#[derive(Clone, Debug, Default)]
pub struct Bodies(Arc<BTreeMap<String, BodyRules>>);

impl Bodies {
    /// Makes the rules of these sources.
    pub fn of<'a>(sources: impl IntoIterator<Item = (&'a str, BodyRules)>) -> Self {
        let any = |(name, rules): (&str, BodyRules)| (name.to_owned(), BodyRules { takes_any: true, ..rules });
        Self(Arc::new(sources.into_iter().map(any).collect()))
    }

    /// Reads the body of a request to `source`.
    pub fn read<'b>(&self, source: &str, headers: &HeaderMap, body: &'b [u8]) -> Document<'b> {
        let rules = self.0.get(source).cloned().unwrap_or_default();
        rules.read(media_type(headers), body, &Reading::Tree)
    }
}

#[cfg(test)]
mod tests;
