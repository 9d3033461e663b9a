//! The template language, which puts the signed text together from parts of the message.
//!
//! `{body} {ts} {id} {secret} {method} {url} {path} {header:N} {json:/ptr} {form:f} {query:q} {sig:f} {ctx:label}
//! {form_sorted} {signed_headers:<source>;<list separator>;<assign>;<join>}`; `?` after a name: empty when absent;
//! `[..]`: dropped when a value in it is absent; filters after `|`; `\n`, `\t` and `\{` as escapes.
//!
//! A text is parsed once, when a scheme is compiled, and rendered per message by `message.rs`. The language has no
//! loops, no arithmetic and no functions with arguments, on purpose: a scheme that needs them is code.

use std::ops::Range;

use http::HeaderName;

use super::failure::MessagePlace;
use super::filter::ValueFilter;
use super::template_errors::{Read, TemplateFault, TemplateProblem};

/// A parsed template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) atoms: Vec<Atom>,
}

/// One piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Atom {
    Literal(String),
    /// A value; `at` are the bytes of the text between its braces.
    Value {
        source: Source,
        optional: bool,
        filters: Vec<ValueFilter>,
        at: Range<usize>,
    },
    Group(Vec<Atom>),
}

/// The names of the kinds of values.
pub(super) const SOURCES: &[&str] = &[
    "body",
    "ts",
    "id",
    "secret",
    "kid",
    "method",
    "url",
    "path",
    "form_sorted",
    "header",
    "json",
    "form",
    "query",
    "sig",
    "ctx",
    "signed_headers",
];

/// A value in the message or its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Body,
    Timestamp,
    Id,
    Secret,
    Method,
    Url,
    Path,
    /// The first of these headers that is there.
    Header(Vec<HeaderName>),
    Json(String),
    Form(String),
    Query(String),
    /// A named part of the signature header.
    Part(String),
    Context(String),
    /// The id of the key that the message names.
    KeyId,
    FormSorted,
    SignedHeaders(Box<SignedHeaders>),
}

/// `{signed_headers:…}`: the headers that a list in the request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedHeaders {
    pub(super) list: Source,
    pub(super) separator: String,
    /// The text between name and value; `None` leaves the names out.
    pub(super) assign: Option<String>,
    pub(super) join: String,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateProblem> {
        let mut rest = text.chars();
        let atoms = parse_atoms(text.len(), &mut rest, None).map_err(|misread| TemplateProblem::new(text, misread))?;
        Ok(Self { atoms })
    }

    /// Returns every value that the template uses, with its filters.
    pub(super) fn values(&self) -> impl Iterator<Item = (&Source, &[ValueFilter])> {
        self.leaves().filter_map(Atom::value)
    }

    fn leaves(&self) -> impl Iterator<Item = &Atom> {
        self.atoms.iter().flat_map(|atom| match atom {
            Atom::Group(inner) => inner.as_slice(),
            Atom::Literal(_) | Atom::Value { .. } => std::slice::from_ref(atom),
        })
    }

    /// Returns the bytes of the text that hold the first value which is wanted.
    pub(super) fn find(&self, wanted: impl Fn(&Source, &[ValueFilter]) -> bool) -> Option<Range<usize>> {
        self.leaves().find_map(|atom| match atom {
            Atom::Value { source, filters, at, .. } if wanted(source, filters) => Some(at.clone()),
            _ => None,
        })
    }

    pub(super) fn uses(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.values().any(|(source, _)| source.uses(&wanted))
    }

    /// Returns the values that are part of the text whatever the message holds: those outside of groups.
    fn always(&self) -> impl Iterator<Item = (&Source, &[ValueFilter])> {
        self.atoms.iter().filter_map(Atom::value)
    }

    /// Returns whether a value is always part of the text, as it is or by its hash, so that it cannot be changed.
    pub(super) fn covers(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.always().any(|(source, filters)| wanted(source) && filters.iter().all(|filter| filter.is_binding()))
    }

    /// Returns whether nobody can change the body without changing the text.
    pub(super) fn covers_body(&self) -> bool {
        self.covers(|source| matches!(source, Source::Body | Source::FormSorted))
    }

    /// Returns whether a timestamp at this place cannot be renewed without changing the text.
    pub(super) fn fixes(&self, timestamp: &Source) -> bool {
        let named = |it: &Source| match (it, timestamp) {
            (Source::Header(one), Source::Header(other)) => one == other,
            (Source::Part(one), Source::Part(other))
            | (Source::Json(one), Source::Json(other))
            | (Source::Form(one), Source::Form(other))
            | (Source::Query(one), Source::Query(other)) => one == other,
            // The list has to name the timestamp header, which rendering checks.
            (Source::SignedHeaders(_), Source::Header(_))
            | (Source::Timestamp, _)
            | (Source::Body, Source::Json(_) | Source::Form(_))
            | (Source::FormSorted, Source::Form(_))
            | (Source::Url | Source::Path, Source::Query(_)) => true,
            _ => false,
        };
        self.covers(named)
    }

    /// Returns the filter that is applied last, if the template is one value and nothing else.
    pub(super) fn last_filter(&self) -> Option<ValueFilter> {
        match self.atoms.as_slice() {
            [Atom::Value { filters, .. }] => filters.last().copied(),
            _ => None,
        }
    }

    /// Returns whether the text is the same for every message.
    pub(super) fn is_configured(&self) -> bool {
        self.values().all(|(source, _)| matches!(source, Source::Context(_)))
    }

    /// Returns the place of the first value.
    pub(super) fn place(&self) -> MessagePlace {
        self.values().next().map_or(MessagePlace::Request, |(source, _)| source.place())
    }

    /// Returns whether every value of `other` is covered.
    pub(super) fn covers_all_of(&self, other: &Self) -> bool {
        other.values().all(|(source, _)| match source {
            Source::Query(_) | Source::Path | Source::Url => self.covers(|it| matches!(it, Source::Path | Source::Url)),
            Source::Header(names) => self.covers(|it| matches!(it, Source::Header(signed) if signed == names)),
            _ => false,
        })
    }
}

impl Atom {
    fn value(&self) -> Option<(&Source, &[ValueFilter])> {
        match self {
            Self::Value { source, filters, .. } => Some((source, filters.as_slice())),
            Self::Literal(_) | Self::Group(_) => None,
        }
    }
}

/// Parses the atoms of the rest of a text of `length` bytes, up to the end of the group that was opened at `group`.
fn parse_atoms(length: usize, rest: &mut std::str::Chars<'_>, group: Option<Range<usize>>) -> Read<Vec<Atom>> {
    let mut atoms = Vec::new();
    let mut literal = String::new();
    let finish = |literal: &mut String, atoms: &mut Vec<Atom>| {
        if !literal.is_empty() {
            atoms.push(Atom::Literal(std::mem::take(literal)));
        }
    };
    loop {
        let start = length - rest.as_str().len();
        let Some(next) = rest.next() else { break };
        let here = start..start + next.len_utf8();
        match next {
            ']' if group.is_some() => {
                finish(&mut literal, &mut atoms);
                return Ok(atoms);
            }
            '[' if group.is_some() => return Err((here, TemplateFault::NestedGroup)),
            '[' => {
                finish(&mut literal, &mut atoms);
                atoms.push(Atom::Group(parse_atoms(length, rest, Some(here))?));
            }
            '{' => {
                finish(&mut literal, &mut atoms);
                let closed = rest.as_str().split_once('}');
                let (inside, after) = closed.ok_or((here.clone(), TemplateFault::UnclosedBrace))?;
                *rest = after.chars();
                atoms.push(parse_value(inside, here.end)?);
            }
            '}' => return Err((here, TemplateFault::UnopenedBrace)),
            '\\' => literal.push(unescape(rest.next()).ok_or((here, TemplateFault::Escape))?),
            other => literal.push(other),
        }
    }
    finish(&mut literal, &mut atoms);
    group.map_or(Ok(atoms), |opened| Err((opened, TemplateFault::UnclosedGroup)))
}

fn unescape(escaped: Option<char>) -> Option<char> {
    match escaped {
        Some('n') => Some('\n'),
        Some('t') => Some('\t'),
        Some('r') => Some('\r'),
        Some(same @ ('\\' | '{' | '}' | '[' | ']')) => Some(same),
        _ => None,
    }
}

/// Parses the text between braces, from the byte `begin` on: a source, perhaps `?`, perhaps filters.
fn parse_value(inside: &str, begin: usize) -> Read<Atom> {
    let mut name = inside;
    let mut filters = Vec::new();
    while let Some((before, last)) = name.rsplit_once('|') {
        match ValueFilter::parse(last) {
            Some(filter) => filters.insert(0, filter),
            // `header:A|B` are two names of one header.
            None if name.starts_with("header:") => break,
            None => {
                let at = begin + before.len() + 1;
                return Err((at..at + last.len(), TemplateFault::UnknownFilter(last.to_owned())));
            }
        }
        name = before;
    }
    let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
    Ok(Atom::Value { source: Source::read(name, begin)?, optional, filters, at: begin..begin + inside.len() })
}

impl Source {
    /// Parses a source as it is written without braces: `header:X`, `json:/p`, `sig:t`.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateProblem> {
        Self::read(text, 0).map_err(|misread| TemplateProblem::new(text, misread))
    }

    /// Parses a source that begins at the byte `begin` of a text.
    fn read(text: &str, begin: usize) -> Read<Self> {
        let unknown = |kind: &str| (begin..begin + kind.len(), TemplateFault::UnknownValue(text.to_owned()));
        let Some((kind, name)) = text.split_once(':') else {
            return Ok(match text {
                "body" => Self::Body,
                "ts" => Self::Timestamp,
                "id" => Self::Id,
                "secret" => Self::Secret,
                "kid" => Self::KeyId,
                "method" => Self::Method,
                "url" => Self::Url,
                "path" => Self::Path,
                "form_sorted" => Self::FormSorted,
                _ => return Err(unknown(text)),
            });
        };
        let name_begin = begin + kind.len() + 1;
        let named = |kind| match name {
            "" => Err((begin..name_begin, TemplateFault::NoName(kind))),
            name => Ok(name.to_owned()),
        };
        Ok(match kind {
            "header" => Self::Header(header_names(name, name_begin)?),
            "json" => Self::Json(pointer(name, name_begin)?),
            "form" => Self::Form(named("form")?),
            "query" => Self::Query(named("query")?),
            "sig" => Self::Part(named("sig")?),
            "ctx" => Self::Context(context_label(&named("ctx")?)),
            "signed_headers" => Self::SignedHeaders(Box::new(SignedHeaders::parse(name, name_begin)?)),
            _ => return Err(unknown(kind)),
        })
    }

    pub(super) fn header(name: &str) -> Result<Self, TemplateProblem> {
        Ok(Self::Header(vec![header_name(name)?]))
    }

    /// Returns whether this source, or the list that it reads, is wanted.
    pub(super) fn uses(&self, wanted: &impl Fn(&Self) -> bool) -> bool {
        wanted(self) || matches!(self, Self::SignedHeaders(signed) if wanted(&signed.list))
    }
}

/// Returns a label of the configuration as it is compared: lower-case letters and digits, every run of others one `_`.
pub fn context_label(written: &str) -> String {
    let words = written.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, TemplateProblem> {
    let fault = || TemplateProblem::of(name, TemplateFault::HeaderName(name.to_owned()));
    HeaderName::from_bytes(name.as_bytes()).ok().ok_or_else(fault)
}

/// Parses `A|B`, the names of one header.
fn header_names(text: &str, begin: usize) -> Read<Vec<HeaderName>> {
    let mut at = begin;
    let names = text.split('|').map(|name| {
        let here = at..at + name.len();
        at = here.end + 1;
        if let Some(filter) = ValueFilter::nearly(name).filter(|_| here.start > begin) {
            return Err((here, TemplateFault::MisspeltFilter(filter.to_owned())));
        }
        HeaderName::from_bytes(name.as_bytes()).ok().ok_or((here, TemplateFault::HeaderName(name.to_owned())))
    });
    names.collect()
}

fn pointer(text: &str, begin: usize) -> Read<String> {
    let at = |start: usize, bytes: usize| begin + start..begin + start + bytes;
    if !text.starts_with('/') {
        return Err((at(0, text.len()), TemplateFault::Pointer(text.to_owned())));
    }
    let is_step = |star: usize| text.get(..star).is_some_and(|before| before.ends_with('/'));
    let is_whole = |star: usize| text.get(star + 1..).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some((star, _)) = text.match_indices('*').find(|(star, _)| is_step(*star) && is_whole(*star)) {
        return Err((at(star, 1), TemplateFault::PointerStar));
    }
    if let Some((tilde, _)) =
        text.match_indices('~').find(|(tilde, _)| !matches!(text.get(tilde + 1..tilde + 2), Some("0" | "1")))
    {
        return Err((at(tilde, 1), TemplateFault::PointerEscape));
    }
    match text.find("//").or_else(|| text.ends_with('/').then_some(text.len() - 1)) {
        Some(empty) => Err((at(empty, 1), TemplateFault::PointerStep)),
        None => Ok(text.to_owned()),
    }
}

impl SignedHeaders {
    fn parse(text: &str, begin: usize) -> Read<Self> {
        let fault = || (begin..begin + text.len(), TemplateFault::SignedHeaders);
        let [list, separator, assign, join] = text.split(';').collect::<Vec<_>>().try_into().ok().ok_or_else(fault)?;
        // The characters that the notation itself uses have names.
        let spelled = |text: &str| match text {
            "SP" => " ".to_owned(),
            "SEMI" => ";".to_owned(),
            "" => String::new(),
            other => other.to_owned(),
        };
        if separator.is_empty() {
            return Err(fault());
        }
        Ok(Self {
            list: Source::read(list, begin)?,
            separator: spelled(separator),
            assign: (assign != "value").then(|| spelled(assign)),
            join: spelled(join),
        })
    }
}
