//! The template language: how the signed text is put together from parts of the message.
//!
//! `{body} {ts} {id} {secret} {method} {url} {path} {header:N} {json:/ptr} {form:f} {query:q} {sig:f} {ctx:label}
//! {form_sorted} {signed_headers:<source>;<list separator>;<assign>;<join>}`; `?` after a name: empty when absent;
//! `[..]`: dropped when a value in it is absent; filters after `|`; `\n`, `\t` and `\{` as escapes.
//!
//! A text is parsed once, when a scheme is compiled, and rendered per message by `message.rs`. The language has no
//! loops, no arithmetic and no functions with arguments, on purpose: what needs them is code.

use http::HeaderName;

use super::failure::Place;
use super::filter::Filter;
use super::problem::TemplateProblem;

/// A parsed template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) atoms: Vec<Atom>,
}

/// One piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Atom {
    Literal(String),
    Value { source: Source, optional: bool, filters: Vec<Filter> },
    Group(Vec<Atom>),
}

/// A value in the message or its surroundings.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub(super) struct SignedHeaders {
    pub(super) list: Source,
    pub(super) separator: String,
    /// Between name and value; `None` leaves the names out.
    pub(super) assign: Option<String>,
    pub(super) join: String,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateProblem> {
        let mut rest = text.chars();
        Ok(Self { atoms: parse_atoms(&mut rest, false)? })
    }

    /// Every value that the template uses, with its filters.
    pub(super) fn values(&self) -> impl Iterator<Item = (&Source, &[Filter])> {
        let inner = self.atoms.iter().flat_map(|atom| match atom {
            Atom::Group(inner) => inner.as_slice(),
            Atom::Literal(_) | Atom::Value { .. } => std::slice::from_ref(atom),
        });
        inner.filter_map(Atom::value)
    }

    pub(super) fn uses(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.values().any(|(source, _)| source.uses(&wanted))
    }

    /// The values that are part of the text whatever the message holds: those outside of groups.
    fn always(&self) -> impl Iterator<Item = (&Source, &[Filter])> {
        self.atoms.iter().filter_map(Atom::value)
    }

    /// Whether a value is always part of the text, and as it is or by its hash, so that it cannot be changed.
    pub(super) fn covers(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.always().any(|(source, filters)| wanted(source) && filters.iter().all(|filter| filter.is_binding()))
    }

    /// Whether nobody can change the body without changing the text.
    pub(super) fn covers_body(&self) -> bool {
        self.covers(|source| matches!(source, Source::Body | Source::FormSorted))
    }

    /// Whether a timestamp that stands there cannot be renewed without changing the text.
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

    /// The filter that is applied last, when the template is one value and nothing else.
    pub(super) fn last_filter(&self) -> Option<Filter> {
        match self.atoms.as_slice() {
            [Atom::Value { filters, .. }] => filters.last().copied(),
            _ => None,
        }
    }

    /// Whether the text is the same for every message.
    pub(super) fn is_configured(&self) -> bool {
        self.values().all(|(source, _)| matches!(source, Source::Context(_)))
    }

    /// Where the first value comes from.
    pub(super) fn place(&self) -> Place {
        self.values().next().map_or(Place::Request, |(source, _)| source.place())
    }

    /// Whether everything that `other` is made of is covered.
    pub(super) fn covers_all_of(&self, other: &Self) -> bool {
        other.values().all(|(source, _)| match source {
            Source::Query(_) | Source::Path | Source::Url => self.covers(|it| matches!(it, Source::Path | Source::Url)),
            Source::Header(names) => self.covers(|it| matches!(it, Source::Header(signed) if signed == names)),
            _ => false,
        })
    }
}

impl Atom {
    fn value(&self) -> Option<(&Source, &[Filter])> {
        match self {
            Self::Value { source, filters, .. } => Some((source, filters.as_slice())),
            Self::Literal(_) | Self::Group(_) => None,
        }
    }
}

fn parse_atoms(rest: &mut std::str::Chars<'_>, in_group: bool) -> Result<Vec<Atom>, TemplateProblem> {
    let mut atoms = Vec::new();
    let mut literal = String::new();
    let finish = |literal: &mut String, atoms: &mut Vec<Atom>| {
        if !literal.is_empty() {
            atoms.push(Atom::Literal(std::mem::take(literal)));
        }
    };
    while let Some(next) = rest.next() {
        match next {
            ']' if in_group => {
                finish(&mut literal, &mut atoms);
                return Ok(atoms);
            }
            '[' if in_group => return Err(TemplateProblem::NestedGroup),
            '[' => {
                finish(&mut literal, &mut atoms);
                atoms.push(Atom::Group(parse_atoms(rest, true)?));
            }
            '{' => {
                finish(&mut literal, &mut atoms);
                let (inside, after) = rest.as_str().split_once('}').ok_or(TemplateProblem::UnclosedBrace)?;
                *rest = after.chars();
                atoms.push(parse_value(inside)?);
            }
            '}' => return Err(TemplateProblem::UnopenedBrace),
            '\\' => literal.push(unescape(rest.next())?),
            other => literal.push(other),
        }
    }
    finish(&mut literal, &mut atoms);
    if in_group { Err(TemplateProblem::UnclosedGroup) } else { Ok(atoms) }
}

fn unescape(escaped: Option<char>) -> Result<char, TemplateProblem> {
    match escaped {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some(same @ ('\\' | '{' | '}' | '[' | ']')) => Ok(same),
        _ => Err(TemplateProblem::Escape),
    }
}

/// Reads what stands between braces: a source, perhaps `?`, perhaps filters.
fn parse_value(inside: &str) -> Result<Atom, TemplateProblem> {
    let mut name = inside;
    let mut filters = Vec::new();
    while let Some((before, last)) = name.rsplit_once('|') {
        match Filter::parse(last) {
            Some(filter) => filters.insert(0, filter),
            // `header:A|B` are two names of one header.
            None if name.starts_with("header:") => break,
            None => return Err(TemplateProblem::UnknownFilter(last.to_owned())),
        }
        name = before;
    }
    let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
    Ok(Atom::Value { source: Source::parse(name)?, optional, filters })
}

impl Source {
    /// Reads a source as it is written without braces: `header:X`, `json:/p`, `sig:t`.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateProblem> {
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
                _ => return Err(TemplateProblem::UnknownValue(text.to_owned())),
            });
        };
        Ok(match kind {
            "header" => Self::Header(name.split('|').map(header_name).collect::<Result<_, _>>()?),
            "json" => Self::Json(pointer(name)?),
            "form" => Self::Form(name.to_owned()),
            "query" => Self::Query(name.to_owned()),
            "sig" => Self::Part(name.to_owned()),
            "ctx" => Self::Context(context_label(name)),
            "signed_headers" => Self::SignedHeaders(Box::new(SignedHeaders::parse(name)?)),
            _ => return Err(TemplateProblem::UnknownValue(text.to_owned())),
        })
    }

    pub(super) fn header(name: &str) -> Result<Self, TemplateProblem> {
        Ok(Self::Header(vec![header_name(name)?]))
    }

    /// Whether this source, or the list that it reads, is wanted.
    pub(super) fn uses(&self, wanted: &impl Fn(&Self) -> bool) -> bool {
        wanted(self) || matches!(self, Self::SignedHeaders(signed) if wanted(&signed.list))
    }
}

/// A label of the configuration as it is compared: small letters and digits, every run of anything else one `_`.
pub fn context_label(written: &str) -> String {
    let words = written.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

pub(super) fn header_name(name: &str) -> Result<HeaderName, TemplateProblem> {
    HeaderName::from_bytes(name.as_bytes()).ok().ok_or_else(|| TemplateProblem::HeaderName(name.to_owned()))
}

fn pointer(text: &str) -> Result<String, TemplateProblem> {
    let plain = text.starts_with('/') && !text.split('/').any(|step| step == "*");
    if plain { Ok(text.to_owned()) } else { Err(TemplateProblem::Pointer(text.to_owned())) }
}

impl SignedHeaders {
    fn parse(text: &str) -> Result<Self, TemplateProblem> {
        let [list, separator, assign, join] =
            text.split(';').collect::<Vec<_>>().try_into().ok().ok_or(TemplateProblem::SignedHeaders)?;
        // The characters that the notation itself uses have names.
        let spelled = |text: &str| match text {
            "SP" => " ".to_owned(),
            "SEMI" => ";".to_owned(),
            "" => String::new(),
            other => other.to_owned(),
        };
        if separator.is_empty() {
            return Err(TemplateProblem::SignedHeaders);
        }
        Ok(Self {
            list: Source::parse(list)?,
            separator: spelled(separator),
            assign: (assign != "value").then(|| spelled(assign)),
            join: spelled(join),
        })
    }
}
