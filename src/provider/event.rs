//! The places of the event type and the delivery id in a verified message.
//!
//! The template language is that of signed text, with the values `{header:…}`, `{json:…}`, `{form:…}` and hashes of the
//! body only. Several templates are alternatives, of which the first that gives a value counts. A value that is longer
//! than 256 bytes, or holds control characters, is a fault and is not cut: two different ids must not become one.
//!
//! A value that is there and cannot be used is a fault. An absent value is a fault only if a user wrote the expression:
//! a provider's row covers messages of many kinds, and some of them have no type.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use serde_json::Value;

use super::failure::{Failure, MessagePlace, PartFault};
use super::filter::ValueFilter;
use super::message::{Message, View};
use super::template::{Atom, Source, Template};
use super::template_errors::{Read, TemplateFault, TemplateProblem};
use crate::encoding::is_typographic_quote;
use crate::payload::{Payload, escaped};

/// The longest event type or delivery id, in bytes.
const EVENT_BYTES_MAX: usize = 256;

/// The templates by which the event type or the delivery id is read from a message.
#[derive(Clone, Debug)]
pub struct EventTemplate {
    alternatives: Vec<Template>,
    /// True when a user wrote the template, so that an absent value is a fault.
    is_expected: bool,
}

/// The reason why no event type or delivery id could be read from a message. The text names places, never values of the
/// message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// The value is not there, or not a single one.
    Failed(Failure),
    /// It is read from JSON, and the body is not JSON.
    NoJson,
    /// It is not there, because something else is: this text names the place and the kind of value.
    Instead(String),
    /// It is there, and empty.
    Empty,
    /// The value is longer than 256 bytes.
    TooLong,
    /// The value is not UTF-8, or holds control characters.
    NotText,
}

impl fmt::Display for EventFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::NoJson => f.write_str("the body is not JSON"),
            Self::Instead(found) => f.write_str(found),
            Self::Empty => f.write_str("the value is empty"),
            Self::TooLong => write!(f, "the value is longer than {EVENT_BYTES_MAX} bytes"),
            Self::NotText => f.write_str("the value is not UTF-8 or holds control characters"),
        }
    }
}

impl EventTemplate {
    /// Parses the expression of a user: `header['name']`, `body.a.b`, `body.a[0].b`, or a template with braces.
    pub fn parse_user(text: &str) -> Result<Self, TemplateProblem> {
        let written = text.trim();
        let begin = text.len() - text.trim_start().len();
        let is_path = written.strip_prefix("body").is_some_and(|path| path.starts_with(['.', '[']));
        if !is_path && header(written).is_none() && written.contains(['{', '}']) {
            let template = Self::first_of(&[written]).map_err(|problem| problem.moved_into(text, begin))?;
            return Ok(Self { is_expected: true, ..template });
        }
        let source = expression(written, begin).map_err(|misread| {
            let quote = text.char_indices().find(|(_, letter)| is_typographic_quote(*letter));
            let quote = quote.map(|(at, letter)| (at..at + letter.len_utf8(), TemplateFault::Quote(letter)));
            TemplateProblem::new(text, quote.unwrap_or(misread))
        })?;
        let atoms =
            vec![Atom::Value { source, optional: false, filters: Vec::new(), at: begin..begin + written.len() }];
        Ok(Self { alternatives: vec![Template { atoms }], is_expected: true })
    }

    /// Parses templates, of which the first that gives a value counts.
    pub fn first_of<T: AsRef<str>>(written: &[T]) -> Result<Self, TemplateProblem> {
        let mut alternatives = Vec::with_capacity(written.len());
        for text in written {
            let text = text.as_ref();
            let template = Template::parse(text)?;
            // The body itself is too long for a name, its hash is not.
            let unreadable = |source: &Source, filters: &[ValueFilter]| match source {
                Source::Header(_) | Source::Json(_) | Source::Form(_) => false,
                Source::Body => !filters.iter().any(|filter| filter.is_binding()),
                _ => true,
            };
            if let Some(at) = template.find(unreadable) {
                let value = text.get(at.clone()).unwrap_or_default().to_owned();
                return Err(TemplateProblem::new(text, (at, TemplateFault::NotHere(value))));
            }
            if template.values().next().is_none() {
                return Err(TemplateProblem::of(text, TemplateFault::NoValue));
            }
            alternatives.push(template);
        }
        Ok(Self { alternatives, is_expected: false })
    }

    /// Returns whether the body has to be parsed as JSON first.
    pub fn needs_json(&self) -> bool {
        self.alternatives.iter().any(|template| template.uses(|source| matches!(source, Source::Json(_))))
    }

    /// Returns whether it needs the body: some part of it is read from the body, or is a digest of it.
    pub fn needs_body(&self) -> bool {
        let is_body = |source: &Source| matches!(source, Source::Json(_) | Source::Form(_) | Source::Body);
        self.alternatives.iter().any(|template| template.uses(is_body))
    }

    /// Returns the JSON pointers that are read.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        let values = self.alternatives.iter().flat_map(Template::values);
        values.filter_map(|(source, _)| if let Source::Json(pointer) = source { Some(pointer.as_str()) } else { None })
    }

    /// Returns the event type or delivery id of a message, if it has one.
    pub fn render(&self, headers: &HeaderMap, json: Option<&Value>, body: (Option<&[u8]>, &[u8])) -> Option<String> {
        self.read(headers, json, body).ok().flatten()
    }

    /// Returns the event type or delivery id of a message; `None` for a message that may have none, and has none.
    /// `form` is the form, if the body is known to be one.
    pub fn read(
        &self,
        headers: &HeaderMap,
        json: Option<&Value>,
        (form, body): (Option<&[u8]>, &[u8]),
    ) -> Result<Option<String>, EventFault> {
        let context = BTreeMap::new();
        let message = Message { method: "", url: "", headers, body };
        let view = View { form, ..View::new(message, json, &context) };
        let mut first_fault = None;
        for template in &self.alternatives {
            let fault = match view.render(template) {
                Ok(pieces) => match printable(&pieces) {
                    Ok(Some(text)) => return Ok(Some(text)),
                    Ok(None) => continue,
                    Err(fault) => fault,
                },
                Err(failure) => EventFault::of(failure, json, self.is_expected.then_some(body)),
            };
            if self.is_expected || !fault.is_absence() {
                first_fault.get_or_insert(fault);
            }
        }
        first_fault.map_or(Ok(None), Err)
    }
}

impl EventFault {
    /// Makes the fault of a failed look-up. With a body, it says what is there instead; `json` may be the scanned places
    /// only.
    fn of(failure: Failure, json: Option<&Value>, body: Option<&[u8]>) -> Self {
        match (&failure, json) {
            (Failure::Missing(MessagePlace::Json(_)), None) => Self::NoJson,
            (Failure::Missing(MessagePlace::Json(pointer)), Some(json)) => {
                let whole = body.and_then(|body| Payload::parse(body).ok()).map(Payload::into_value);
                let found = body.and_then(|_| instead(whole.as_ref().unwrap_or(json), pointer));
                found.map_or(Self::Failed(failure), Self::Instead)
            }
            _ => Self::Failed(failure),
        }
    }

    /// Returns whether the fault is that no value is there to be read.
    fn is_absence(&self) -> bool {
        match self {
            Self::Empty | Self::NoJson | Self::Instead(_) | Self::Failed(Failure::Missing(_)) => true,
            Self::Failed(Failure::MalformedHeader(malformed)) => {
                matches!(malformed.fault(), PartFault::NotForm | PartFault::NotJson | PartFault::Empty)
            }
            Self::Failed(_) | Self::TooLong | Self::NotText => false,
        }
    }
}

/// Says what stands where a value is looked for, or on the way to it; `None` where there is only nothing.
fn instead(json: &Value, pointer: &str) -> Option<String> {
    match json.pointer(pointer) {
        Some(Value::Null) => return Some(format!("`{pointer}` in the JSON body is null")),
        Some(Value::Array(_)) => return Some(format!("`{pointer}` in the JSON body is a list, not a single value")),
        Some(Value::Object(_)) => {
            return Some(format!("`{pointer}` in the JSON body is an object, not a single value"));
        }
        Some(_) => return None,
        None => {}
    }
    let mut end = pointer.len();
    loop {
        end = pointer.get(..end)?.rfind('/')?;
        let (way, rest) = pointer.split_at(end);
        let found = match json.pointer(way) {
            None => continue,
            Some(Value::Object(_)) => return None,
            Some(Value::Array(_)) if rest.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => return None,
            Some(Value::Array(_)) => "a list",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a text",
        };
        let place = if way.is_empty() { "the body".to_owned() } else { format!("`{way}`") };
        return Some(format!("`{pointer}` in the JSON body is missing: {place} is {found}"));
    }
}

/// The text of some pieces. No piece at all is what a template leaves out on purpose.
fn printable(pieces: &[Cow<'_, [u8]>]) -> Result<Option<String>, EventFault> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if pieces.is_empty() {
        return Ok(None);
    }
    if length == 0 {
        return Err(EventFault::Empty);
    }
    if length > EVENT_BYTES_MAX {
        return Err(EventFault::TooLong);
    }
    let text = String::from_utf8(pieces.concat()).map_err(|_bytes| EventFault::NotText)?;
    if text.contains(char::is_control) { Err(EventFault::NotText) } else { Ok(Some(text)) }
}

fn unquoted(text: &str) -> Option<&str> {
    let single = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    single.or_else(|| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')))
}

/// Returns the content of the brackets of `header[…]`, or of `headers[…]`, as CEL writes it.
fn header(text: &str) -> Option<&str> {
    let name = text.strip_prefix("headers[").or_else(|| text.strip_prefix("header["));
    name.and_then(|rest| rest.strip_suffix(']'))
}

/// Parses `header['name']` or `body.a.b`, which begins at the byte `begin` of its text.
fn expression(text: &str, begin: usize) -> Read<Source> {
    let unknown = || (begin..begin + text.len(), TemplateFault::Expression(text.to_owned()));
    if let Some(quoted) = header(text) {
        let name = unquoted(quoted).ok_or_else(unknown)?;
        let start = begin + text.len() - "']".len() - name.len();
        let fault = |_| (start..start + name.len(), TemplateFault::HeaderName(name.to_owned()));
        return Source::header(name).map_err(fault);
    }
    match text.strip_prefix("body").filter(|path| path.starts_with(['.', '['])) {
        Some(path) => pointer(path, begin + "body".len()).map(Source::Json),
        None => Err(unknown()),
    }
}

/// Makes the JSON pointer for `.a[0].b`, which begins at the byte `begin` of its text.
fn pointer(path: &str, begin: usize) -> Read<String> {
    let mut pointer = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let at = begin + path.len() - rest.len();
        let (step, after) = match first {
            '.' => {
                let name = rest.get(1..).unwrap_or_default();
                name.split_at(name.find(|letter| !is_of_a_name(letter)).unwrap_or(name.len()))
            }
            '[' => in_brackets(rest).ok_or((at..begin + path.len(), TemplateFault::NotAPath('[')))?,
            other => return Err((at..at + other.len_utf8(), TemplateFault::NotAPath(other))),
        };
        if step.is_empty() {
            return Err((at..at + rest.len() - after.len(), TemplateFault::NoStep));
        }
        pointer.push('/');
        pointer.push_str(&escaped(step));
        rest = after;
    }
    Ok(pointer)
}

/// Returns whether a name may hold a letter without quotes: more than CEL allows, as JSON's names do, but no operator.
fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$' | '@' | ':')
}

/// Splits the step in `['a b']` or `[0]` from the text that follows it.
fn in_brackets(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('[')?;
    match inner.chars().next()? {
        quote @ ('\'' | '"') => {
            let (step, after) = inner.get(1..)?.split_once(quote)?;
            Some((step, after.strip_prefix(']')?))
        }
        _ => inner.split_once(']').filter(|(index, _)| index.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

/// Returns the right form of an expression that uses the notation of a template, a JSON pointer or JSONPath.
pub(super) fn meant_by_expression(text: &str) -> Option<String> {
    if text.contains(':') {
        return Source::parse(text).is_ok().then(|| format!("{{{text}}}"));
    }
    if let Some(name) = text.strip_prefix("headers").or_else(|| text.strip_prefix("header")) {
        let name = name.trim_matches(['.', '[', ']', ' ', '\'', '"']);
        return Source::header(name).is_ok().then(|| format!("header['{name}']"));
    }
    let of_pointer = || Source::parse(&format!("json:{text}")).is_ok().then(|| format!("{{json:{text}}}"));
    let path = text.strip_prefix('$').unwrap_or(text);
    let of_path = || path.starts_with(['.', '[']).then(|| pointer(path, 0).ok().map(|_| format!("body{path}")))?;
    of_pointer().or_else(of_path)
}

/// Returns the right form of a template's value that uses the notation of an expression.
pub(super) fn meant_by_value(name: &str) -> Option<String> {
    let named = ["header", "json", "form", "query", "sig", "ctx"].contains(&name);
    if named {
        let example = if name == "json" { "/name" } else { "name" };
        return Some(format!("{{{name}:{example}}}"));
    }
    if name.starts_with('/') {
        return Source::parse(&format!("json:{name}")).is_ok().then(|| format!("{{json:{name}}}"));
    }
    match expression(name, 0).ok()? {
        Source::Json(pointer) => Some(format!("{{json:{pointer}}}")),
        Source::Header(names) => names.first().map(|name| format!("{{header:{name}}}")),
        _ => None,
    }
}
