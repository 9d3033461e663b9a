//! The logic of a condition, read from its text.
//!
//! Only for texts that compile: brackets, literals and comments are skipped without a check.

use super::super::ConditionError;

/// A condition as a tree of logical operators; its parts are numbered in the order of the text.
#[derive(Debug)]
pub(super) enum Logic {
    And(Vec<Logic>),
    Or(Vec<Logic>),
    Not(Box<Logic>),
    Choice(Box<[Logic; 3]>),
    Part(usize),
}

/// The result of some logic, and the parts from which the result follows.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) gave: Result<bool, ConditionError>,
    pub(super) because: Vec<usize>,
}

impl Logic {
    /// Reads the logic of a text, and adds the texts of the parts to `parts`.
    pub(super) fn of<'t>(text: &'t str, parts: &mut Vec<&'t str>) -> Self {
        let text = text.trim();
        let outside = outside(text);
        if let [(0, '('), (end, ')')] = outside.as_slice()
            && let Some(inside) = text.get(1..*end)
        {
            return Self::of(inside, parts);
        }
        if let Some([condition, then, otherwise]) = choice(text, &outside) {
            let three = [condition, then, otherwise].map(|text| Self::of(text, parts));
            return Self::Choice(Box::new(three));
        }
        for (operator, joined) in [('|', Self::Or as fn(Vec<Self>) -> Self), ('&', Self::And)] {
            let operands = split(text, &outside, operator);
            if operands.len() > 1 {
                return joined(operands.into_iter().map(|text| Self::of(text, parts)).collect());
            }
        }
        if let [(0, '!'), .., (open, '('), (_, ')')] = outside.as_slice()
            && outside.iter().take(outside.len() - 2).all(|(_, letter)| *letter == '!')
            && let Some(inside) = text.get(*open..)
        {
            let inside = Self::of(inside, parts);
            return if outside.len() % 2 == 1 { Self::Not(Box::new(inside)) } else { inside };
        }
        parts.push(text);
        Self::Part(parts.len() - 1)
    }

    /// Evaluates the parts with `ask` in CEL's order. As in CEL, an error loses against the operand that decides alone.
    pub(super) fn answer(&self, ask: &mut impl FnMut(usize) -> Result<bool, ConditionError>) -> Answer {
        match self {
            Self::Part(number) => Answer { gave: ask(*number), because: vec![*number] },
            Self::Not(inside) => {
                let inside = inside.answer(ask);
                Answer { gave: inside.gave.map(|flag| !flag), because: inside.because }
            }
            Self::And(operands) => joined(operands, false, ask),
            Self::Or(operands) => joined(operands, true, ask),
            Self::Choice(three) => {
                let [condition, then, otherwise] = &**three;
                let mut first = condition.answer(ask);
                let chosen = match first.gave {
                    Ok(true) => then.answer(ask),
                    Ok(false) => otherwise.answer(ask),
                    Err(_) => return first,
                };
                first.because.extend(chosen.because);
                Answer { gave: chosen.gave, because: first.because }
            }
        }
    }
}

/// Evaluates operands that are joined by `&&` or `||`; `alone` is the value with which one operand decides alone.
fn joined(operands: &[Logic], alone: bool, ask: &mut impl FnMut(usize) -> Result<bool, ConditionError>) -> Answer {
    let (mut agreeing, mut failed) = (Vec::new(), None::<Answer>);
    for operand in operands {
        let answer = operand.answer(&mut *ask);
        match (&answer.gave, &mut failed) {
            (Ok(flag), _) if *flag == alone => return answer,
            (Ok(_), _) => agreeing.extend(answer.because),
            // The budget of the whole is spent: no later operand can change the verdict.
            (Err(ConditionError::TooLarge), _) => return answer,
            (Err(_), None) => failed = Some(answer),
            (Err(_), Some(failed)) => failed.because.extend(answer.because),
        }
    }
    failed.unwrap_or(Answer { gave: Ok(!alone), because: agreeing })
}

/// Returns condition, then and otherwise of a text that is `a ? b : c`.
fn choice<'t>(text: &'t str, outside: &[(usize, char)]) -> Option<[&'t str; 3]> {
    // `.?` is a field that may be missing.
    let is_mark = |pair: &[(usize, char)]| matches!(pair, [(_, before), (_, '?')] if *before != '.');
    let mark = 1 + outside.windows(2).position(is_mark)?;
    let (question, _) = *outside.get(mark)?;
    let (colon, _) = *outside.iter().skip(mark).find(|(_, letter)| *letter == ':')?;
    Some([text.get(..question)?, text.get(question + 1..colon)?, text.get(colon + 1..)?])
}

/// Returns the operands around a doubled `operator`.
fn split<'t>(text: &'t str, outside: &[(usize, char)], operator: char) -> Vec<&'t str> {
    let mut operands = Vec::new();
    let mut start = 0;
    for pair in outside.windows(2) {
        if let [(first, one), (second, other)] = pair
            && (*one, *other) == (operator, operator)
            && *first >= start
            && *second == first + 1
        {
            operands.extend(text.get(start..*first));
            start = second + 1;
        }
    }
    operands.extend(text.get(start..));
    operands
}

/// Returns the letters, with their places, outside of brackets, literals, comments and space; the outermost brackets
/// are included.
fn outside(text: &str) -> Vec<(usize, char)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut rest = text;
    let mut before = ' ';
    while let Some(letter) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = match letter {
            '"' | '\'' => literal(rest, letter, matches!(before, 'r' | 'R')),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ => letter.len_utf8(),
        };
        if matches!(letter, ')' | ']' | '}') {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 && !letter.is_whitespace() && !rest.starts_with("//") {
            found.push((at, letter));
        }
        if matches!(letter, '(' | '[' | '{') {
            depth += 1;
        }
        before = letter;
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

/// Returns the beginning of an expression, in one line and without the texts in quotes: variables may have brought
/// those in, and the result goes to logs.
pub fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '"' | '\'' => {
                let length = literal(rest, letter, shown.ends_with(['r', 'R']));
                shown.extend([letter, '…', letter]);
                length
            }
            _ if letter.is_whitespace() => {
                shown.extend((!shown.ends_with(' ')).then_some(' '));
                letter.len_utf8()
            }
            _ => {
                shown.push(letter);
                letter.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    match shown.trim().char_indices().nth(CHARS_MAX) {
        Some((end, _)) => shown.trim().get(..end).unwrap_or_default().to_owned() + "…",
        None => shown.trim().to_owned(),
    }
}

/// Returns the length of the literal at the start of `text`.
fn literal(text: &str, quote: char, raw: bool) -> usize {
    let triple: String = [quote; 3].iter().collect();
    let fence = if text.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = fence.len();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(&fence) {
            return at + fence.len();
        }
        let escaped = if raw { None } else { rest.strip_prefix('\\') };
        let next = escaped.unwrap_or(rest).chars().next().map_or(0, char::len_utf8);
        at += next + usize::from(escaped.is_some());
    }
    text.len()
}
