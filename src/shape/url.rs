//! URLs with values of the event in their path and query: `http://orders:9000/tenants/{params.tenant}/events`.
//!
//! A value is percent-encoded but for letters, digits and `-._~` (RFC 3986 §2.3), so it can end neither its segment nor
//! the path. A value is never empty and never makes a segment of dots. Scheme and host hold no values.

use super::shown::Audience;
use crate::condition::{ConditionProblem, KeyExpression, View};

/// A template of the path and the query of a URL.
#[derive(Debug)]
pub struct UrlTemplate {
    path: Vec<Piece>,
    query: Option<Vec<Piece>>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// The byte of the template at which the value begins, its expression, and whether text and value are hidden.
    Value(usize, KeyExpression, bool),
}

/// The reason why a text is no template.
#[derive(Debug)]
pub enum BadUrl {
    /// The brace at this byte is not closed, or closes nothing.
    Brace(usize),
    /// The expression in braces does not compile.
    Expression {
        /// The text of the expression.
        text: String,
        /// The byte at which it begins.
        begin: usize,
        /// The problem.
        problem: ConditionProblem,
    },
}

/// The filled-in path and query.
type Filled = Result<(String, Option<String>), Unfilled>;

/// The text of an expression that gave no value for a URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfilled(pub String);

/// Writes a template as a URL: the expressions in braces are percent-encoded, because URLs cannot hold all their
/// characters.
pub fn written_as_url(url: &str) -> String {
    let (mut written, mut rest) = (String::new(), url);
    while let Some((before, (inner, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        written.push_str(before);
        written.push('{');
        encode(inner, &mut written);
        written.push('}');
        rest = after;
    }
    written + rest
}

impl UrlTemplate {
    /// Parses the template of a URL from its path on; `None` where the URL has no values.
    pub fn parse(text: &str) -> Result<Option<Self>, BadUrl> {
        if !text.contains(['{', '}']) {
            return Ok(None);
        }
        // A `?` inside an expression is a part of it.
        let pieces = pieces(text)?;
        let mut template = Self { path: Vec::new(), query: None };
        for piece in pieces {
            let rest = match (piece, &mut template.query) {
                (piece, Some(query)) => {
                    query.push(piece);
                    continue;
                }
                (Piece::Text(text), None) => text,
                (value, None) => {
                    template.path.push(value);
                    continue;
                }
            };
            match rest.split_once('?') {
                Some((path, query)) => {
                    template.path.push(Piece::Text(path.to_owned()));
                    template.query = Some(vec![Piece::Text(query.to_owned())]);
                }
                None => template.path.push(Piece::Text(rest)),
            }
        }
        Ok(Some(template))
    }

    /// Returns the expressions, each with the byte of the template at which it begins.
    pub fn values(&self) -> impl Iterator<Item = (usize, &KeyExpression)> {
        let pieces = self.path.iter().chain(self.query.iter().flatten());
        pieces.filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value(begin, expression, _) => Some((*begin, expression)),
        })
    }

    /// Hides the expressions that hold the value of a variable, as `holds` says of their bytes in the template.
    pub fn hide(&mut self, holds: impl Fn(std::ops::Range<usize>) -> bool) {
        for piece in self.path.iter_mut().chain(self.query.iter_mut().flatten()) {
            if let Piece::Value(begin, expression, is_hidden) = piece {
                *is_hidden = holds(*begin..*begin + expression.text().len());
            }
        }
    }

    /// Fills in path and query for one event.
    pub(super) fn fill(&self, view: &View<'_>) -> Filled {
        let path = fill(&self.path, view)?;
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Unfilled("a segment of dots".to_owned()));
        }
        Ok((path, self.query.as_ref().map(|query| fill(query, view)).transpose()?))
    }
}

impl UrlTemplate {
    /// Fills in the values of one event for people; the text around them is abbreviated, because it may hold a secret.
    pub(super) fn shown(&self, view: &View<'_>) -> Result<String, Unfilled> {
        let path = fill_for(Audience::Person, &self.path, view)?;
        let query = self.query.as_ref().map(|query| fill_for(Audience::Person, query, view)).transpose()?;
        Ok(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
    }
}

/// Abbreviates a text to its first and last character, where they are separators.
fn abbreviated(text: &str) -> String {
    let (first, last) = (text.strip_prefix('/'), text.strip_suffix(['/', '=']));
    match text.len() {
        0 | 1 => text.to_owned(),
        _ => {
            let begin = if first.is_some() { "/" } else { "" };
            let end = last.and_then(|rest| text.get(rest.len()..)).unwrap_or_default();
            format!("{begin}…{end}")
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, BadUrl> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    // The rest begins at the byte that follows from its length.
    let closes_nothing = |rest: &str, before: &str| match before.find('}') {
        Some(brace) => Err(BadUrl::Brace(text.len() - rest.len() + brace)),
        None => Ok(()),
    };
    while let Some((before, after)) = rest.split_once('{') {
        closes_nothing(rest, before)?;
        let begin = text.len() - after.len();
        let (inner, after) = after.split_once('}').ok_or(BadUrl::Brace(begin - 1))?;
        pieces.push(Piece::Text(before.to_owned()));
        let compiled = KeyExpression::compile(inner);
        let bad = |problem| BadUrl::Expression { text: inner.to_owned(), begin, problem };
        pieces.push(Piece::Value(begin, compiled.map_err(bad)?, false));
        rest = after;
    }
    closes_nothing(rest, rest)?;
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn fill(pieces: &[Piece], view: &View<'_>) -> Result<String, Unfilled> {
    fill_for(Audience::Service, pieces, view)
}

fn fill_for(reader: Audience, pieces: &[Piece], view: &View<'_>) -> Result<String, Unfilled> {
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) if reader == Audience::Service => filled.push_str(text),
            Piece::Text(text) => filled.push_str(&abbreviated(text)),
            Piece::Value(_, expression, is_hidden) => {
                let value = expression.key(view).ok().flatten().filter(|value| !value.is_empty());
                let text = || if *is_hidden { "an expression with a variable" } else { expression.text() };
                let value = value.ok_or_else(|| Unfilled(text().to_owned()))?;
                if *is_hidden && reader == Audience::Person {
                    filled.push('…');
                } else {
                    encode(&value, &mut filled);
                }
            }
        }
    }
    Ok(filled)
}

fn encode(value: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().map_or('0', char::from);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn filled(template: &str, tenant: &str) -> Filled {
        over(tenant, |view| UrlTemplate::parse(template).unwrap().unwrap().fill(view))
    }

    #[test]
    fn what_is_shown_of_a_url_are_the_values_and_no_secret_beside_them() {
        let shown =
            |template: &str| over("a b", |view| UrlTemplate::parse(template).unwrap().unwrap().shown(view)).unwrap();
        assert_eq!(shown("/services/T0/SECRET/x?kind={body.tenant}"), "/…?…=a%20b");
        assert_eq!(shown("/tenants/{body.tenant}/events/{body.n}"), "/…/a%20b/…/7");
        assert_eq!(shown("/{body.tenant}"), "/a%20b");
    }

    fn over<T>(tenant: &str, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let (headers, body) = (HeaderMap::new(), json!({"tenant": tenant, "n": 7, "none": null}));
        let view = View {
            body: Some(&body),
            received: &(),
            headers: &headers,
            event_type: "push",
            event_id: "e",
            source: "s",
            method: "POST",
            path: "/in/s",
            query: "",
            params: &[],
        };
        ask(&view)
    }

    #[test]
    fn a_value_cannot_change_the_shape_of_a_url() {
        for (tenant, path) in [
            ("acme", "/t/acme/e"),
            ("a/b", "/t/a%2Fb/e"),
            ("../../admin", "/t/..%2F..%2Fadmin/e"),
            ("a?b#c&d", "/t/a%3Fb%23c%26d/e"),
            ("\u{e9} %2f\r\n", "/t/%C3%A9%20%252f%0D%0A/e"),
        ] {
            assert_eq!(filled("/t/{body.tenant}/e", tenant), Ok((path.to_owned(), None)), "{tenant}");
        }
        for tenant in ["", ".", ".."] {
            assert!(filled("/t/{body.tenant}/e", tenant).is_err(), "{tenant:?}");
        }
        assert!(filled("/t/{body.tenant}{body.tenant}/e", ".").is_err());
        assert_eq!(filled("/t/{body.none}", "a"), Err(Unfilled("body.none".to_owned())));
    }

    #[test]
    fn a_query_has_values_too_and_a_question_mark_in_an_expression_is_its_own() {
        let template = "/e?a={body.n}&b={body.n > 3 ? 'x y' : 'z'}";
        assert_eq!(filled(template, "a"), Ok(("/e".to_owned(), Some("a=7&b=x%20y".to_owned()))));
    }

    #[test]
    fn braces_that_do_not_match_are_refused() {
        for text in ["/{a", "/a}", "/{}", "/{a b}", "/a}{body.n}"] {
            assert!(UrlTemplate::parse(text).is_err(), "{text}");
        }
        assert!(UrlTemplate::parse("/plain?a=1").unwrap().is_none());
    }
}
