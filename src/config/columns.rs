//! The place of every character of a value in the text of its file, so that a caret can mark a part of the value.
//!
//! The parser gives a value and its span, and nothing about the text between: escapes, folds, indentations. So the text
//! of the span is read again, by the rules of each style of YAML, with the place of every character. A reading is used
//! only if it gives exactly the parser's value. Without such a reading there are no places, and the whole value is
//! marked. This is done when a problem is shown, and never for a file without problems.

use std::ops::Range;

use super::spans::{Position, Span};

/// The longest value with places of characters: aliases could repeat the reading of a longer one a hundred thousand
/// times.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// Returns the span of the bytes `part` of `value`, which was read from `span` of `text`.
pub(super) fn part_of(value: &str, part: Range<usize>, span: Span, text: &str) -> Option<Span> {
    let letters = if value.len() > VALUE_BYTES_MAX { None } else { letters(value, span, text) }?;
    let (before, within) = (value.get(..part.start)?, value.get(part)?);
    let first = before.chars().count();
    let last = (first + within.chars().count()).checked_sub(1).filter(|last| *last >= first);
    // A part that is missing at the end is marked behind the last letter.
    let start = letters.get(first).map(|letter| letter.start).or_else(|| Some(letters.last()?.end))?;
    let next = Position { column: start.column + 1, ..start };
    let end = last.and_then(|last| letters.get(last)).map_or(next, |letter| letter.end);
    Some(Span { start, end, ..span })
}

/// A character of a value, and the stretch of text that is written for it.
#[derive(Clone, Copy, Debug)]
struct Letter {
    is: char,
    start: Position,
    end: Position,
}

fn letters(value: &str, span: Span, text: &str) -> Option<Vec<Letter>> {
    let mut cursor = Cursor::at(span.start, text)?;
    cursor.skip_anchor();
    let is_value = |letters: &Vec<Letter>| letters.iter().map(|letter| letter.is).eq(value.chars());
    // The line breaks at the end of a block depend on the block's sign.
    let is_block =
        |letters: &Vec<Letter>| letters.iter().map(|letter| letter.is).eq(value.trim_end_matches('\n').chars());
    let flow = [Some('"'), Some('\''), None].into_iter().filter_map(|quote| in_flow(cursor, quote, span.end));
    let block = [false, true].into_iter().map(|is_folded| in_block(cursor, value, is_folded));
    flow.filter(is_value).chain(block.filter(is_block)).next()
}

/// Reads a scalar in quotes, or a plain one, which ends at `end`.
fn in_flow(mut cursor: Cursor<'_>, quote: Option<char>, end: Position) -> Option<Vec<Letter>> {
    if quote.is_some() && cursor.next() != quote {
        return None;
    }
    let mut letters: Vec<Letter> = Vec::new();
    // Blanks before a line break are not part of the value, unless they were escaped.
    let mut kept = 0;
    while (quote.is_some() || cursor.at < end) && kept <= VALUE_BYTES_MAX {
        let start = cursor.at;
        let letter = match (cursor.next(), quote) {
            (None, None) => break,
            (None, Some(_)) => return None,
            (Some('\n'), _) => {
                letters.truncate(kept);
                let breaks = 1 + cursor.skip_empty_lines();
                let folded = if breaks == 1 { vec![' '] } else { vec!['\n'; breaks - 1] };
                letters.extend(folded.into_iter().map(|is| Letter { is, start, end: start }));
                kept = letters.len();
                continue;
            }
            (Some('\''), Some('\'')) if cursor.peek() == Some('\'') => cursor.next()?,
            (Some(letter), Some(quote)) if letter == quote => return Some(letters),
            (Some('\\'), Some('"')) if cursor.peek() == Some('\n') => {
                cursor.next();
                let breaks = vec!['\n'; cursor.skip_empty_lines()];
                letters.extend(breaks.into_iter().map(|is| Letter { is, start, end: start }));
                kept = letters.len();
                continue;
            }
            (Some('\\'), Some('"')) => cursor.escaped()?,
            (Some(blank @ (' ' | '\t')), _) => {
                letters.push(Letter { is: blank, start, end: cursor.at });
                continue;
            }
            (Some(letter), _) => letter,
        };
        letters.push(Letter { is: letter, start, end: cursor.at });
        kept = letters.len();
    }
    letters.truncate(kept);
    Some(letters)
}

/// Reads a block, whose span begins with its first letter; at most as many letters as `value` has.
fn in_block(mut cursor: Cursor<'_>, value: &str, is_folded: bool) -> Vec<Letter> {
    let indent = cursor.at.column;
    let wanted = value.trim_end_matches('\n').chars().count();
    let at = |is, start, end| Letter { is, start, end };
    let empty = value.chars().take_while(|letter| *letter == '\n');
    let mut letters: Vec<Letter> = empty.map(|letter| at(letter, cursor.at, cursor.at)).collect();
    let is_deeper = |cursor: &Cursor<'_>| matches!(cursor.peek(), Some(' ' | '\t'));
    while letters.len() < wanted {
        let was_deeper = is_deeper(&cursor);
        while let Some(letter) = cursor.peek().filter(|letter| *letter != '\n') {
            let start = cursor.at;
            cursor.next();
            letters.push(at(letter, start, cursor.at));
        }
        let mut breaks = Vec::new();
        while cursor.peek() == Some('\n') {
            breaks.push(cursor.at);
            cursor.next();
            while cursor.at.column < indent && cursor.peek() == Some(' ') {
                cursor.next();
            }
        }
        if breaks.is_empty() {
            break;
        }
        let is_fold = is_folded && !was_deeper && !is_deeper(&cursor);
        let folded = if is_fold && breaks.len() == 1 { ' ' } else { '\n' };
        let swallowed = usize::from(is_fold && breaks.len() > 1);
        letters.extend(breaks.iter().skip(swallowed).map(|start| at(folded, *start, *start)));
    }
    letters.truncate(wanted);
    letters
}

/// A place in a text, and the text that follows it.
#[derive(Clone, Copy, Debug)]
struct Cursor<'t> {
    rest: &'t str,
    at: Position,
}

impl<'t> Cursor<'t> {
    fn at(at: Position, text: &'t str) -> Option<Self> {
        let line: usize = text.split_inclusive('\n').take(at.line.checked_sub(1)?).map(str::len).sum();
        let line = text.get(line..)?;
        let before: usize = line.chars().take(at.column.checked_sub(1)?).map(char::len_utf8).sum();
        Some(Self { rest: line.get(before..)?, at })
    }

    /// Returns the next character; both ways to end a line are `\n`.
    fn peek(&self) -> Option<char> {
        if self.rest.starts_with("\r\n") { Some('\n') } else { self.rest.chars().next() }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        let rest = self.rest.strip_prefix('\r').filter(|_| letter == '\n').unwrap_or(self.rest);
        self.rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        let Position { line, column } = self.at;
        self.at = match letter {
            '\n' => Position { line: line + 1, column: 1 },
            _ => Position { line, column: column + 1 },
        };
        Some(letter)
    }

    /// Skips an anchor, with which the span of an anchored value begins, and then the sign of a block.
    fn skip_anchor(&mut self) {
        if self.peek() == Some('&') {
            self.skip_until(char::is_whitespace);
            self.skip_empty_lines();
            if matches!(self.peek(), Some('|' | '>')) {
                self.skip_until(|letter| letter == '\n');
                self.skip_empty_lines();
            }
        }
    }

    fn skip_until(&mut self, is_end: impl Fn(char) -> bool) {
        while self.peek().is_some_and(|letter| !is_end(letter)) {
            self.next();
        }
    }

    /// Goes to the next letter, and counts the lines without one before it.
    fn skip_empty_lines(&mut self) -> usize {
        let mut breaks = 0;
        while let Some(letter @ (' ' | '\t' | '\n')) = self.peek() {
            breaks += usize::from(letter == '\n');
            self.next();
        }
        breaks
    }

    /// Reads an escape in double quotes, after its backslash (YAML 1.2 §5.7).
    fn escaped(&mut self) -> Option<char> {
        let digits = match self.next()? {
            '0' => return Some('\0'),
            'a' => return Some('\u{7}'),
            'b' => return Some('\u{8}'),
            't' | '\t' => return Some('\t'),
            'n' => return Some('\n'),
            'v' => return Some('\u{b}'),
            'f' => return Some('\u{c}'),
            'r' => return Some('\r'),
            'e' => return Some('\u{1b}'),
            'N' => return Some('\u{85}'),
            '_' => return Some('\u{a0}'),
            'L' => return Some('\u{2028}'),
            'P' => return Some('\u{2029}'),
            same @ (' ' | '"' | '/' | '\\') => return Some(same),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return None,
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            code = code.checked_mul(16)?.checked_add(self.next()?.to_digit(16)?)?;
        }
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use saphyr_parser::{Event, Parser};

    use super::*;
    use crate::config::FileId;

    /// Returns the scalar of a text, and the place that is marked for its `X`.
    fn pointed(text: &str) -> (String, Option<(usize, usize, usize)>) {
        let position = |marker: saphyr_parser::Marker| Position { line: marker.line(), column: marker.col() + 1 };
        let mut scalars = Parser::new_from_str(text).filter_map(|event| match event.unwrap() {
            (Event::Scalar(value, ..), span) => Some((value.into_owned(), span)),
            _ => None,
        });
        let (value, span) = scalars.nth(1).unwrap();
        let span = Span { file: FileId::MAIN, start: position(span.start), end: position(span.end) };
        let at = value.find('X').unwrap();
        let part = part_of(&value, at..at + 1, span, text);
        (value, part.map(|part| (part.start.line, part.start.column, part.end.column)))
    }

    #[test]
    fn a_part_of_a_scalar_of_any_style_is_found() {
        for (text, value, place) in [
            ("k: a X b", "a X b", (1, 6, 7)),
            ("k: 'it''s X'", "it's X", (1, 11, 12)),
            (r#"k: "a \"q\" X""#, "a \"q\" X", (1, 13, 14)),
            (r#"k: "\u00e9\x41\t\\X""#, "\u{e9}A\t\\X", (1, 19, 20)),
            (r#"k: "\u0058""#, "X", (1, 5, 11)),
            ("k: &anchor 'X'", "X", (1, 13, 14)),
            ("k: a\n  b  \n\n  c X\n", "a b\nc X", (4, 5, 6)),
            ("k: \"a  \n\n   b \\\n   \\  X\"\n", "a\nb   X", (4, 7, 8)),
            ("k: 'a\n  X'\n", "a X", (2, 3, 4)),
            ("k: |\n  a\n\n    X\n", "a\n\n  X\n", (4, 5, 6)),
            ("k: |2-\n    a\n  X\n", "  a\nX", (3, 3, 4)),
            ("k: |\n\n\n  a X\n", "\n\na X\n", (4, 5, 6)),
            ("k: >\n  a\n  b\n\n  c\n    d\n  X\n", "a b\nc\n  d\nX\n", (7, 3, 4)),
            ("k: >-\n  a\n\n\n  X\nl: 1\n", "a\n\nX", (5, 3, 4)),
            ("k: |\n  \"X\"\n", "\"X\"\n", (2, 4, 5)),
            ("k: \"a\r\n  X\"\r\n", "a X", (2, 3, 4)),
            ("k: |\r\n  a\r\n  X\r\n", "a\nX\n", (3, 3, 4)),
            ("k: &anchor\n  a X", "a X", (2, 5, 6)),
            ("k: &anchor >-\n  a\n  X\n", "a X", (3, 3, 4)),
            ("{k: a X, l: 1}", "a X", (1, 7, 8)),
            ("k: \u{1f600}X", "\u{1f600}X", (1, 5, 6)),
        ] {
            assert_eq!(pointed(text), (value.to_owned(), Some(place)), "{text}");
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_missed_behind_it() {
        let start = Position { line: 1, column: 4 };
        let span = Span { file: FileId::MAIN, start, end: Position { column: 7, ..start } };
        let part = part_of("a", 1..1, span, "k: 'a'").unwrap();
        assert_eq!((part.start.column, part.end.column), (6, 7));
    }

    #[test]
    fn a_text_that_does_not_give_the_value_has_no_places() {
        let start = Position { line: 1, column: 4 };
        let span = Span { file: FileId::MAIN, start, end: Position { column: 7, ..start } };
        for text in ["k: abX", "k: 'X", "k: \"\\q\"", "", "k: ***"] {
            assert_eq!(part_of("b", 0..1, span, text), None, "{text}");
        }
    }
}
