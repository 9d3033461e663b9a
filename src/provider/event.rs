//! Where the event type and the delivery id stand in a verified message.
//!
//! The same template language as for signed text, with the values `{header:…}`, `{json:…}` and `{form:…}` only; several
//! templates are alternatives, of which the first that gives something counts. What is longer than 256 bytes, or holds
//! control characters, gives nothing: it would be cut, and two different ids must not become one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;

use super::filter::Filter;
use super::message::{Message, View};
use super::problem::TemplateProblem;
use super::template::{Atom, Source, Template};

/// The longest event type or delivery id.
const EVENT_BYTES_MAX: usize = 256;

/// How the event type or the delivery id is read from a message.
#[derive(Clone, Debug)]
pub struct EventTemplate {
    alternatives: Vec<Template>,
}

impl EventTemplate {
    /// Reads what a user may write: `header['name']`, `body.a.b`, `body.a[0].b`, or a template with braces.
    pub fn parse_user(text: &str) -> Result<Self, TemplateProblem> {
        let text = text.trim();
        let unknown = || TemplateProblem::Expression(text.to_owned());
        // CEL says `headers`; both are understood here.
        let header = text.strip_prefix("headers[").or_else(|| text.strip_prefix("header["));
        let source = if let Some(quoted) = header.and_then(|rest| rest.strip_suffix(']')) {
            Source::header(unquoted(quoted).ok_or_else(unknown)?)?
        } else if let Some(path) = text.strip_prefix("body").filter(|path| path.starts_with(['.', '['])) {
            Source::Json(pointer(path).ok_or_else(unknown)?)
        } else if text.contains('{') {
            return Self::first_of(&[text]);
        } else {
            return Err(unknown());
        };
        let atoms = vec![Atom::Value { source, optional: false, filters: Vec::new() }];
        Ok(Self { alternatives: vec![Template { atoms }] })
    }

    /// Templates, of which the first that gives something counts.
    pub fn first_of<T: AsRef<str>>(written: &[T]) -> Result<Self, TemplateProblem> {
        let mut alternatives = Vec::with_capacity(written.len());
        for text in written {
            let text = text.as_ref();
            let template = Template::parse(text)?;
            // The body itself is too long for a name, its hash is not.
            let readable = |(source, filters): (&Source, &[Filter])| match source {
                Source::Header(_) | Source::Json(_) | Source::Form(_) => true,
                Source::Body => filters.iter().any(|filter| filter.is_binding()),
                _ => false,
            };
            if template.values().next().is_none() || !template.values().all(readable) {
                return Err(TemplateProblem::NotHere(text.to_owned()));
            }
            alternatives.push(template);
        }
        Ok(Self { alternatives })
    }

    /// Whether the body has to be parsed as JSON first.
    pub fn needs_json(&self) -> bool {
        self.alternatives.iter().any(|template| template.uses(|source| matches!(source, Source::Json(_))))
    }

    /// The JSON pointers that are read.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        let values = self.alternatives.iter().flat_map(Template::values);
        values.filter_map(|(source, _)| if let Source::Json(pointer) = source { Some(pointer.as_str()) } else { None })
    }

    /// The event type or delivery id of a message, if it has one.
    pub fn render(&self, headers: &HeaderMap, json: Option<&Value>, body: &[u8]) -> Option<String> {
        let context = BTreeMap::new();
        let view = View::new(Message { method: "", url: "", headers, body }, json, &context);
        self.alternatives.iter().find_map(|template| printable(&view.render(template).ok()?))
    }
}

fn printable(pieces: &[Cow<'_, [u8]>]) -> Option<String> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if length == 0 || length > EVENT_BYTES_MAX {
        return None;
    }
    String::from_utf8(pieces.concat()).ok().filter(|text| !text.contains(char::is_control))
}

fn unquoted(text: &str) -> Option<&str> {
    let single = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    single.or_else(|| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')))
}

/// The JSON pointer for `.a[0].b`.
fn pointer(path: &str) -> Option<String> {
    let mut pointer = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        let step;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            (step, rest) = after.split_at_checked(end)?;
        } else {
            let inner;
            (inner, rest) = rest.strip_prefix('[')?.split_once(']')?;
            step = unquoted(inner).or_else(|| inner.bytes().all(|byte| byte.is_ascii_digit()).then_some(inner))?;
        }
        if step.is_empty() {
            return None;
        }
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
    }
    Some(pointer)
}
