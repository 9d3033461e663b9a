//! Letters that CEL does not have, such as the quotes of a word processor: the parser passes over them or tells of them in
//! its own words, and at another place.

use super::problem::{ConditionPlace, ConditionProblem};
use crate::encoding::{is_typographic_quote, meant_by};

/// Finds the first letter beyond ASCII that stands in no text and no comment, and a typographic quote in a text that is
/// never closed.
pub(super) fn foreign(text: &str) -> Result<(), ConditionProblem> {
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let offset = text.len() - rest.len();
        if !letter.is_ascii() {
            return Err(problem(text, offset, letter));
        }
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if matches!(letter, '"' | '\'') {
            let is_raw = text.get(..offset).is_some_and(|before| before.ends_with(['r', 'R']));
            match end_of_literal(rest, is_raw) {
                Some(end) => end,
                None => return in_open_literal(text, offset, rest),
            }
        } else {
            1
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Returns the bytes of the literal with which `text` begins; `None` where it is not closed.
fn end_of_literal(text: &str, is_raw: bool) -> Option<usize> {
    let quote = text.get(..1)?;
    let triple = quote.repeat(3);
    let closing = if text.starts_with(&triple) { triple.as_str() } else { quote };
    let mut at = closing.len();
    loop {
        let rest = text.get(at..)?;
        let letter = rest.chars().next()?;
        if rest.starts_with(closing) {
            return Some(at + closing.len());
        }
        if closing.len() == 1 && matches!(letter, '\n' | '\r') {
            return None;
        }
        let is_escape = letter == '\\' && !is_raw;
        at += letter.len_utf8();
        if is_escape {
            at += rest.chars().nth(1)?.len_utf8();
        }
    }
}

fn in_open_literal(text: &str, offset: usize, rest: &str) -> Result<(), ConditionProblem> {
    // The parser tells of any other literal that is not closed.
    match rest.char_indices().find(|(_, letter)| is_typographic_quote(*letter)) {
        Some((at, letter)) => Err(problem(text, offset + at, letter)),
        None => Ok(()),
    }
}

fn problem(text: &str, offset: usize, letter: char) -> ConditionProblem {
    ConditionProblem::ForeignLetter { at: ConditionPlace::of_offset(text, offset), letter, meant: meant_by(letter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_cel_does_not_have_is_found_where_it_stands() {
        for (text, expected) in [
            ("body.x == “paid”", Some((10, '“'))),
            ("body.x == 'é' && body.y == ‘paid’", Some((28, '‘'))),
            ("body.x == 'paid’", Some((15, '’'))),
            ("body.x ==\u{a0}1", Some((9, '\u{a0}'))),
            ("body.a – 1 > 0", Some((7, '–'))),
            ("body.x == 'a' // “x”\n && body.größe > 1", Some((36, 'ö'))),
            ("body.x == r'\\' && “", Some((18, '“'))),
            ("body.x == '“paid”'", None),
            ("body.x == 'it\\'s “x”'", None),
            ("body.x == '''it's\n“x”'''", None),
            ("body.x == \"\"\"a\"“\"\"\"", None),
            ("body.x == 'open", None),
            ("body.x == 1 // “x”", None),
        ] {
            let found = foreign(text).err().and_then(|problem| match problem {
                ConditionProblem::ForeignLetter { at, letter, meant: _ } => Some((at.offset, letter)),
                _ => None,
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
