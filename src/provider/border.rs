//! The borders between the values of a signed text.
//!
//! `{id}.{ts}.{body}` is signed as one text, in which nothing but the dots says where a value ends. An id `a` at time `1.2`
//! and an id `a.1` at time `2` are one text, so that a stranger could move the border in a message that was signed once:
//! another id passes the duplicate check. Therefore a value that holds the separator at its border is refused.
//!
//! The rule for each value follows from the template, when a scheme is compiled:
//! - body, URL, form and lists of headers are *open*: they may hold any separator. One value that the scheme names in
//!   `may_hold_separator` is open as well;
//! - before the first open value a value ends where the text that follows it begins for the first time; after it, a value
//!   begins where the text before it ends for the last time; so each text is taken apart in one way only;
//! - the last value of a text without an open one ends where the text ends;
//! - a timestamp has a form of its own, and where nothing separates it, the number of digits that times have today;
//! - a URL that touches the body consists of the characters of URLs, which no JSON object begins or ends with.
//!
//! Two other values that touch each other cannot be told apart here; such rows have a `pattern` or say so in their
//! notes (`tests/borders.rs` lists them).

use super::failure::{Failure, MessagePlace, PartFault};
use super::filter::ValueFilter;
use super::message::View;
use super::scheme::Unit;
use super::template::{Atom, Source, Template};

/// A value of a signed text, with the rule that keeps the value's border unambiguous.
#[derive(Clone, Debug)]
pub(super) struct Border {
    /// The value.
    source: Source,
    filters: Vec<ValueFilter>,
    pub(super) rule: BorderRule,
}

/// The rule that tells a value from its neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BorderRule {
    /// The value ends before this text.
    EndsBefore(String),
    /// The value begins after this text.
    BeginsAfter(String),
    /// The value is a time in this unit, with as many digits as times have until the year 2286.
    PlainTime(Unit),
    /// The value holds nothing but what URLs hold.
    UrlCharacters,
}

/// The parts of a scheme that decide about borders.
pub(super) struct Places<'s> {
    /// The place that `{id}` stands for.
    pub(super) id: Option<&'s Source>,
    /// The place that `{ts}` stands for, and its unit.
    pub(super) timestamp: Option<(&'s Source, Unit)>,
    /// The value that may hold its separator.
    pub(super) open: Option<&'s Source>,
}

/// A template as it is read from left to right.
enum Piece<'t> {
    Literal(&'t str),
    Value(&'t Source, &'t [ValueFilter]),
    /// The begin or the end of a group: the piece on its other side may be absent.
    Edge,
}

impl Template {
    /// Returns the rules for its values.
    pub(super) fn borders(&self, places: &Places<'_>) -> Vec<Border> {
        let pieces = self.pieces();
        let mut borders = Vec::new();
        let mut is_after_open = false;
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Value(source, filters) = piece else { continue };
            let (before, after) = pieces.split_at(at);
            let (before, after) = (before.last(), after.get(1..).unwrap_or_default());
            let rule = match kind_of(source, filters, places) {
                Kind::Sealed => None,
                Kind::Time(unit) => (touches(before, after) && !unit.is_date()).then_some(BorderRule::PlainTime(unit)),
                Kind::Open => {
                    is_after_open = true;
                    let is_url = matches!(source, Source::Url | Source::Path);
                    (is_url && touches_body(before, after)).then_some(BorderRule::UrlCharacters)
                }
                Kind::Closed if is_after_open => separator(before).map(BorderRule::BeginsAfter),
                Kind::Closed if is_last(after, places) => None,
                Kind::Closed => separator(after.first()).map(BorderRule::EndsBefore),
            };
            // A value is named by its place.
            let source = match (source, places.id, places.timestamp) {
                (Source::Id, Some(id), _) => id,
                (Source::Timestamp, _, Some((timestamp, _))) => timestamp,
                _ => source,
            };
            borders.extend(rule.map(|rule| Border { source: source.clone(), filters: filters.to_vec(), rule }));
        }
        borders
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        fn add<'t>(atoms: &'t [Atom], pieces: &mut Vec<Piece<'t>>) {
            for atom in atoms {
                match atom {
                    Atom::Literal(text) => pieces.push(Piece::Literal(text)),
                    Atom::Value { source, filters, .. } => pieces.push(Piece::Value(source, filters)),
                    Atom::Group(inner) => {
                        pieces.push(Piece::Edge);
                        add(inner, pieces);
                        pieces.push(Piece::Edge);
                    }
                }
            }
        }
        let mut pieces = Vec::new();
        add(&self.atoms, &mut pieces);
        pieces
    }
}

/// The kind of content that a value can hold.
enum Kind {
    /// Nothing that a sender chose, or a hash.
    Sealed,
    Time(Unit),
    Open,
    Closed,
}

fn kind_of(source: &Source, filters: &[ValueFilter], places: &Places<'_>) -> Kind {
    match source {
        Source::Secret | Source::Context(_) | Source::Method => Kind::Sealed,
        Source::Body if !filters.is_empty() => Kind::Sealed,
        Source::Timestamp => places.timestamp.map_or(Kind::Closed, |(_, unit)| Kind::Time(unit)),
        Source::Body | Source::Url | Source::Path | Source::FormSorted | Source::SignedHeaders(_) => Kind::Open,
        other if places.open == Some(other) => Kind::Open,
        other => match places.timestamp {
            Some((timestamp, unit)) if timestamp == other => Kind::Time(unit),
            _ => Kind::Closed,
        },
    }
}

/// Returns whether the value borders directly on one that a sender chose. The edge of a group counts as such a value,
/// because what stands beyond the edge may be absent.
fn touches(before: Option<&Piece<'_>>, after: &[Piece<'_>]) -> bool {
    let is_chosen = |piece: Option<&Piece<'_>>| match piece {
        Some(Piece::Value(source, _)) => !matches!(source, Source::Secret | Source::Context(_) | Source::Method),
        Some(Piece::Edge) => true,
        Some(Piece::Literal(_)) | None => false,
    };
    is_chosen(before) || is_chosen(after.first())
}

fn touches_body(before: Option<&Piece<'_>>, after: &[Piece<'_>]) -> bool {
    let is_body = |piece: Option<&Piece<'_>>| matches!(piece, Some(Piece::Value(Source::Body, _)));
    is_body(before) || is_body(after.first())
}

fn separator(neighbour: Option<&Piece<'_>>) -> Option<String> {
    match neighbour {
        Some(Piece::Literal(text)) => Some((*text).to_owned()),
        Some(Piece::Value(..) | Piece::Edge) | None => None,
    }
}

/// Returns whether nothing that varies follows the value.
fn is_last(after: &[Piece<'_>], places: &Places<'_>) -> bool {
    after.iter().all(|piece| match piece {
        Piece::Literal(_) | Piece::Edge => true,
        Piece::Value(source, filters) => matches!(kind_of(source, filters, places), Kind::Sealed),
    })
}

impl Border {
    /// Checks that the value in this message keeps the rule. A value that is absent keeps every rule.
    pub(super) fn check(&self, view: &View<'_>) -> Result<(), Failure> {
        let Some(value) = view.value(&self.source)? else { return Ok(()) };
        let fault = match &self.rule {
            BorderRule::UrlCharacters => (!value.iter().copied().all(is_of_urls)).then_some(PartFault::UrlCharacters),
            BorderRule::PlainTime(unit) => (!is_plain_time(*unit, value.len())).then_some(PartFault::NotATime),
            BorderRule::EndsBefore(text) => {
                let value = self.filtered(value);
                let whole = [&*value, text.as_bytes()].concat();
                let first = whole.windows(text.len()).position(|window| window == text.as_bytes());
                (first != Some(value.len())).then(|| separates(text))
            }
            BorderRule::BeginsAfter(text) => {
                let whole = [text.as_bytes(), &*self.filtered(value)].concat();
                let last = whole.windows(text.len()).rposition(|window| window == text.as_bytes());
                (last != Some(0)).then(|| separates(text))
            }
        };
        fault.map_or(Ok(()), |fault| Err(Failure::malformed(self.source.place(), fault)))
    }

    fn filtered<'v>(&self, value: super::message::MessageBytes<'v>) -> super::message::MessageBytes<'v> {
        self.filters.iter().fold(value, |value, filter| filter.apply(value))
    }

    /// Describes the border for the table of all rows.
    #[cfg(test)]
    pub(super) fn shown(&self) -> String {
        let rule = match &self.rule {
            BorderRule::EndsBefore(text) => format!("ends before the first {text:?}"),
            BorderRule::BeginsAfter(text) => format!("begins after the last {text:?}"),
            BorderRule::PlainTime(unit) => format!("a plain time ({unit:?})"),
            BorderRule::UrlCharacters => "characters of URLs".to_owned(),
        };
        format!("{}: {rule}", self.source.place())
    }
}

/// Refuses a separator in a value of a scheme that is code.
pub(super) fn refuse(separator: u8, value: &[u8], place: impl FnOnce() -> MessagePlace) -> Result<(), Failure> {
    if value.contains(&separator) {
        return Err(Failure::malformed(place(), PartFault::Separator(char::from(separator))));
    }
    Ok(())
}

fn separates(text: &str) -> PartFault {
    PartFault::Separator(text.chars().next().unwrap_or_default())
}

/// Returns whether a URL may hold a byte: reserved, unreserved, and the sign of an escape (RFC 3986).
fn is_of_urls(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn is_plain_time(unit: Unit, digits: usize) -> bool {
    match unit {
        Unit::S => digits == 10,
        Unit::Ms => digits == 13,
        Unit::Auto => digits == 10 || digits == 13,
        // No date is the beginning of another.
        Unit::Rfc3339 | Unit::Rfc3339Utc | Unit::HttpDate => true,
    }
}
