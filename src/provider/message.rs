//! A message as it arrived, and the view of it that templates are rendered from.
//!
//! Invariants: bytes are taken as they came, before any parsing; every header, form field, query parameter and part of
//! the signature that is consulted must be there once only; no value is taken from `Host`. Rendering gives pieces, not
//! one buffer, so that a large body is hashed where it lies.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::failure::{Failure, MessagePlace, PartFault};
use super::template::{Atom, SignedHeaders, Source, Template};
use super::url::{path_and_query, query};

/// The longest header value that is read, in bytes.
pub(super) const HEADER_BYTES_MAX: usize = 8 * 1024;
/// The most headers that a request may name as signed.
const SIGNED_HEADERS_MAX: usize = 64;

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The full public URL with its query where the source has one configured, else path and query.
    pub url: &'a str,
    /// The headers as they came.
    pub headers: &'a HeaderMap,
    /// The body as it came.
    pub body: &'a [u8],
}

/// A message, with the values that are known while one block is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'v> {
    pub(super) message: Message<'v>,
    /// The body as JSON, or the element of it that `each` is at.
    pub(super) json: Option<&'v Value>,
    /// The form, where the body is known to be one whatever its type says.
    pub(super) form: Option<&'v [u8]>,
    pub(super) context: &'v BTreeMap<String, String>,
    /// The named parts of the signature header.
    pub(super) parts: &'v [(&'v str, &'v str)],
    pub(super) timestamp: Option<&'v [u8]>,
    pub(super) id: Option<&'v [u8]>,
    pub(super) secret: Option<&'v [u8]>,
    /// The id of the key that the message names.
    pub(super) key_id: Option<&'v [u8]>,
    /// The header that holds the timestamp, which a list of signed headers has to name.
    pub(super) timestamp_header: Option<&'v HeaderName>,
}

/// Bytes of the message where they lie, or made from it.
pub(super) type MessageBytes<'v> = Cow<'v, [u8]>;

impl<'v> View<'v> {
    pub(super) fn new(message: Message<'v>, json: Option<&'v Value>, context: &'v BTreeMap<String, String>) -> Self {
        Self {
            message,
            json,
            form: None,
            context,
            parts: &[],
            timestamp: None,
            id: None,
            secret: None,
            key_id: None,
            timestamp_header: None,
        }
    }

    /// Returns the pieces of the text that a template stands for.
    pub(super) fn render(&self, template: &'v Template) -> Result<Vec<MessageBytes<'v>>, Failure> {
        let mut pieces = Vec::new();
        match self.render_into(&template.atoms, &mut pieces)? {
            Some(absent) => Err(Failure::Missing(absent)),
            None => Ok(pieces),
        }
    }

    /// Adds the pieces of `atoms`; stops at the first place that is absent, and returns it.
    fn render_into(
        &self,
        atoms: &'v [Atom],
        pieces: &mut Vec<MessageBytes<'v>>,
    ) -> Result<Option<MessagePlace>, Failure> {
        for atom in atoms {
            match atom {
                Atom::Literal(text) => pieces.push(Cow::Borrowed(text.as_bytes())),
                Atom::Group(inner) => {
                    let before = pieces.len();
                    if self.render_into(inner, pieces)?.is_some() {
                        pieces.truncate(before);
                    }
                }
                Atom::Value { source, optional, filters, at: _ } => match self.value(source)? {
                    Some(value) => pieces.push(filters.iter().fold(value, |value, filter| filter.apply(value))),
                    None if *optional => {}
                    None => return Ok(Some(source.place())),
                },
            }
        }
        Ok(None)
    }

    /// Returns the value of a source; `None` if it is absent.
    pub(super) fn value(&self, source: &Source) -> Result<Option<MessageBytes<'v>>, Failure> {
        let message = self.message;
        Ok(match source {
            Source::Body => Some(Cow::Borrowed(message.body)),
            Source::Timestamp => self.timestamp.map(Cow::Borrowed),
            Source::Id => self.id.map(Cow::Borrowed),
            Source::Secret => self.secret.map(Cow::Borrowed),
            Source::KeyId => self.key_id.map(Cow::Borrowed),
            Source::Method => Some(Cow::Borrowed(message.method.as_bytes())),
            Source::Url => Some(Cow::Borrowed(message.url.as_bytes())),
            Source::Path => Some(Cow::Borrowed(path_and_query(message.url).as_bytes())),
            Source::Header(names) => {
                for name in names {
                    if let Some(value) = single_header(message.headers, name)? {
                        return Ok(Some(Cow::Borrowed(value)));
                    }
                }
                None
            }
            Source::Json(pointer) => self.json_value(pointer)?,
            Source::Form(name) => single_value(self.form()?, name, source)?,
            Source::Query(name) => single_value(query(message.url), name, source)?,
            Source::Part(name) => self.part(name)?.map(|part| Cow::Borrowed(part.as_bytes())),
            Source::Context(label) => self.context.get(label).map(|value| Cow::Borrowed(value.as_bytes())),
            Source::FormSorted => Some(Cow::Owned(form_sorted(self.form()?))),
            Source::SignedHeaders(signed) => Some(Cow::Owned(self.signed_headers(signed)?)),
        })
    }

    fn json_value(&self, pointer: &str) -> Result<Option<MessageBytes<'v>>, Failure> {
        Ok(match self.json.and_then(|json| json.pointer(pointer)) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Cow::Borrowed(text.as_bytes())),
            Some(plain @ (Value::Bool(_) | Value::Number(_))) => Some(Cow::Owned(plain.to_string().into_bytes())),
            Some(Value::Array(_)) => return Err(not_scalar(pointer, "a list")),
            Some(Value::Object(_)) => return Err(not_scalar(pointer, "an object")),
        })
    }

    /// Returns the fields of a form body. An empty body is an empty form, whatever its type.
    pub(super) fn form(&self) -> Result<form_urlencoded::Parse<'v>, Failure> {
        if let Some(form) = self.form {
            return Ok(form_urlencoded::parse(form));
        }
        let form = media_type(self.message.headers)?.is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        if form || self.message.body.is_empty() {
            Ok(form_urlencoded::parse(self.message.body))
        } else {
            Err(Failure::malformed(MessagePlace::Body, PartFault::NotForm))
        }
    }

    /// Returns a named part of the signature header; the part may be repeated with one and the same value only.
    pub(super) fn part(&self, wanted: &str) -> Result<Option<&'v str>, Failure> {
        let mut values = self.parts.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let first = values.next();
        // Persona repeats the same `t` beside every signature.
        if values.any(|other| Some(other) != first) {
            return Err(Failure::malformed(MessagePlace::Part(wanted.to_owned()), PartFault::Repeated));
        }
        Ok(first)
    }

    fn signed_headers(&self, signed: &SignedHeaders) -> Result<Vec<u8>, Failure> {
        let list = self.value(&signed.list)?.ok_or_else(|| Failure::Missing(signed.list.place()))?;
        let list = text(&list, &signed.list)?;
        let names: Vec<&str> = list.split(signed.separator.as_str()).map(str::trim).collect();
        if names.len() > SIGNED_HEADERS_MAX {
            return Err(Failure::malformed(signed.list.place(), PartFault::TooMany));
        }
        if let Some(header) = self.timestamp_header
            && !names.iter().any(|name| name.eq_ignore_ascii_case(header.as_str()))
        {
            return Err(Failure::malformed(signed.list.place(), PartFault::TimestampUnsigned));
        }
        let mut out = Vec::new();
        for (position, name) in names.iter().enumerate() {
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                return Err(Failure::malformed(signed.list.place(), PartFault::Unexpected));
            };
            let value = single_header(self.message.headers, &header)?
                .ok_or_else(|| Failure::Missing(MessagePlace::Header(header.as_str().to_owned())))?;
            if let Some(separator) = signed.movable(value) {
                return Err(Failure::malformed(
                    MessagePlace::Header(header.as_str().to_owned()),
                    PartFault::Separator(separator),
                ));
            }
            if position > 0 {
                out.extend_from_slice(signed.join.as_bytes());
            }
            if let Some(assign) = &signed.assign {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(assign.as_bytes());
            }
            out.extend_from_slice(value);
        }
        Ok(out)
    }
}

impl SignedHeaders {
    /// Returns the character at which a part of the value could be taken for what follows it: the next pair of a list with
    /// names, or a JSON object behind a list of values, which may hold the text that joins them.
    fn movable(&self, value: &[u8]) -> Option<char> {
        match &self.assign {
            Some(assign) => holds_pair(value, &self.join, assign).then(|| self.join.chars().next().unwrap_or_default()),
            None => value.contains(&b'{').then_some('{'),
        }
    }
}

fn not_scalar(pointer: &str, found: &'static str) -> Failure {
    Failure::malformed(MessagePlace::Json(pointer.to_owned()), PartFault::NotScalar(found))
}

impl Source {
    pub(super) fn place(&self) -> MessagePlace {
        match self {
            Self::Header(names) => MessagePlace::Header(names.first().map_or("", HeaderName::as_str).to_owned()),
            Self::Json(pointer) => MessagePlace::Json(pointer.clone()),
            Self::Form(name) => MessagePlace::Form(name.clone()),
            Self::Query(name) => MessagePlace::Query(name.clone()),
            Self::Part(name) => MessagePlace::Part(name.clone()),
            Self::Context(label) => MessagePlace::Context(label.clone()),
            Self::Body | Self::FormSorted => MessagePlace::Body,
            Self::Timestamp => MessagePlace::Timestamp,
            Self::SignedHeaders(signed) => signed.list.place(),
            Self::Id | Self::KeyId | Self::Secret | Self::Method | Self::Url | Self::Path => MessagePlace::Request,
        }
    }
}

/// Returns whether `value` holds `join` and after it `assign`, so that a part of it could be the next pair of a list.
/// `; charset=utf-8` is no pair where names end with a colon.
pub(super) fn holds_pair(value: &[u8], join: &str, assign: &str) -> bool {
    let place_of = |text: &str, within: &[u8]| {
        within.windows(text.len().max(1)).position(|window| window == text.as_bytes()).map(|at| at + text.len())
    };
    place_of(join, value).and_then(|begin| place_of(assign, value.get(begin..).unwrap_or_default())).is_some()
}

/// Returns a header that may be there once at most.
pub(super) fn single_header<'v>(headers: &'v HeaderMap, name: &HeaderName) -> Result<Option<&'v [u8]>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    let place = || MessagePlace::Header(name.as_str().to_owned());
    if values.next().is_some() {
        return Err(Failure::malformed(place(), PartFault::Repeated));
    }
    match first {
        Some(value) if value.len() > HEADER_BYTES_MAX => Err(Failure::malformed(place(), PartFault::TooLong)),
        Some(value) => Ok(Some(value.as_bytes())),
        None => Ok(None),
    }
}

/// Returns a form field or query parameter that may be there once at most.
fn single_value<'v>(
    pairs: form_urlencoded::Parse<'v>,
    wanted: &str,
    source: &Source,
) -> Result<Option<MessageBytes<'v>>, Failure> {
    let mut values = pairs.filter(|(name, _)| name == wanted).map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Failure::malformed(source.place(), PartFault::Repeated));
    }
    Ok(first.map(|value| match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }))
}

pub(super) fn text<'t>(bytes: &'t [u8], source: &Source) -> Result<&'t str, Failure> {
    std::str::from_utf8(bytes).ok().ok_or_else(|| Failure::malformed(source.place(), PartFault::NotText))
}

/// Returns the media type without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let value = single_header(headers, &CONTENT_TYPE)?;
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    Ok(text.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}

/// Writes unique pairs in byte order, key and value one after the other.
fn form_sorted(fields: form_urlencoded::Parse<'_>) -> Vec<u8> {
    let unique: BTreeSet<_> = fields.collect();
    unique.iter().flat_map(|(name, value)| name.bytes().chain(value.bytes())).collect()
}
