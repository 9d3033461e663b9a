//! Faults of templates and of places in a message, as the configuration writes them, each with its bytes.

use std::fmt;
use std::ops::Range;

use super::event::{meant_by_expression, meant_by_value};
use super::filter::ValueFilter;
use super::template::SOURCES;
use crate::encoding::{meant_by, named};

/// A part of a text that stands somewhere in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    text: String,
    at: Range<usize>,
}

impl Within {
    pub(super) fn new(text: &str, at: Range<usize>) -> Self {
        Self { text: text.to_owned(), at }
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the bytes of the part.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }
}

/// The reason why a text is not a template, or not a place in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    within: Within,
    fault: TemplateFault,
}

/// The result of reading a part of a text: a value, or the bytes at fault with their fault.
pub(super) type Read<T> = Result<T, (Range<usize>, TemplateFault)>;

/// The fault of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateFault {
    UnclosedBrace,
    UnopenedBrace,
    UnclosedGroup,
    NestedGroup,
    /// A backslash before a character that needs none.
    Escape,
    UnknownValue(String),
    UnknownFilter(String),
    /// A filter that is taken for the second name of a header.
    MisspeltFilter(String),
    HeaderName(String),
    /// A kind of place without the name of anything.
    NoName(&'static str),
    /// Not a JSON pointer.
    Pointer(String),
    /// A `*`, which is no step of a JSON pointer here.
    PointerStar,
    /// A `~` that escapes nothing.
    PointerEscape,
    /// A member without a name.
    PointerStep,
    /// `signed_headers` needs a list, a separator, an assignment and a join.
    SignedHeaders,
    /// A value that has no meaning in this place.
    NotHere(String),
    /// A template without a value: every event would have the same text.
    NoValue,
    /// Not an expression for an event type or id.
    Expression(String),
    /// A quote of a word processor, which quotes nothing.
    Quote(char),
    /// A path ends where a name should follow.
    NoStep,
    /// A path goes on with a character that no name of a member has without quotes.
    NotAPath(char),
}

impl TemplateProblem {
    pub(super) fn new(text: &str, (at, fault): (Range<usize>, TemplateFault)) -> Self {
        Self { within: Within::new(text, at), fault }
    }

    /// Makes the problem of a `text` that is wrong as a whole.
    pub(super) fn of(text: &str, fault: TemplateFault) -> Self {
        Self::new(text, (0..text.len(), fault))
    }

    /// Moves the problem into `text`, in which the text that was read begins at the byte `begin`.
    pub(super) fn moved_into(mut self, text: &str, begin: usize) -> Self {
        let at = self.within.at;
        self.within = Within::new(text, begin + at.start..begin + at.end);
        self
    }

    /// Returns the part at fault.
    pub fn within(&self) -> &Within {
        &self.within
    }

    /// Returns the bytes of the text that may be repeated in an error.
    pub fn repeated(&self) -> Range<usize> {
        let at = self.within.at();
        match &self.fault {
            // The kind is at fault, and the name that follows it is repeated with it.
            TemplateFault::UnknownValue(name) => at.start..at.end.max(at.start + name.len()),
            _ => at,
        }
    }

    /// Returns an unknown word, and the words that are known in its place.
    pub fn unknown(&self) -> Option<(&str, Vec<&'static str>)> {
        match &self.fault {
            TemplateFault::UnknownValue(name) => {
                Some((name.split_once(':').map_or(name.as_str(), |(kind, _)| kind), SOURCES.to_vec()))
            }
            TemplateFault::UnknownFilter(name) => Some((name, ValueFilter::names().collect())),
            _ => None,
        }
    }

    /// Returns the right form of what was probably meant.
    pub fn meant(&self) -> Option<String> {
        match &self.fault {
            TemplateFault::Expression(text) => meant_by_expression(text),
            TemplateFault::UnknownValue(name) => meant_by_value(name),
            _ => None,
        }
    }

    /// Returns the text of an expression that is not one at all.
    pub fn expression(&self) -> Option<&str> {
        if let TemplateFault::Expression(text) = &self.fault { Some(text) } else { None }
    }
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)
    }
}

impl std::error::Error for TemplateProblem {}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclosedBrace => f.write_str("`{` is not closed; write `\\{` for the character"),
            Self::UnopenedBrace => f.write_str("`}` closes nothing; write `\\}` for the character"),
            Self::UnclosedGroup => f.write_str("`[` is not closed; write `\\[` for the character"),
            Self::NestedGroup => f.write_str("a `[…]` group cannot stand inside another"),
            Self::Escape => f.write_str("a backslash stands only before n, t, r, \\, {, }, [ or ]"),
            Self::UnknownValue(name) => write!(f, "there is no value `{{{name}}}`"),
            Self::UnknownFilter(name) => write!(f, "there is no filter `|{name}`"),
            Self::MisspeltFilter(near) => {
                write!(f, "what follows `|` would be another name of the header; the filter is `|{near}`")
            }
            Self::HeaderName(name) => write!(f, "`{name}` is not the name of a header"),
            Self::NoName(kind) => write!(f, "`{kind}:` names nothing"),
            Self::Pointer(text) => write!(f, "`{text}` is not a JSON pointer; it begins with `/`"),
            Self::PointerStar => f.write_str("one value is read here, so `*` is no step of the way to it; write the number of an element, such as `/items/0`"),
            Self::PointerEscape => f.write_str("in a JSON pointer `~` is written `~0`, and `/` inside a name `~1`"),
            Self::PointerStep => f.write_str("a step of this JSON pointer has no name"),
            Self::SignedHeaders => {
                f.write_str("write `{signed_headers:<source>;<list separator>;<assign or value>;<join>}`")
            }
            Self::NotHere(name) => write!(f, "`{name}` has no meaning here"),
            Self::NoValue => f.write_str("there is no value in it, so all events would have the same"),
            Self::Expression(text) => {
                write!(f, "`{text}` is neither `header['name']`, `body.a.b` nor a template such as `{{json:/a/b}}`")
            }
            Self::Quote(letter) => {
                write!(f, "{} quotes nothing; write `{}`", named(*letter), meant_by(*letter).unwrap_or("\""))
            }
            Self::NoStep => f.write_str("the name of a member should follow here"),
            Self::NotAPath(letter) => {
                write!(f, "`{}` is no part of a path such as `body.a.b`", letter.escape_debug())
            }
        }
    }
}
