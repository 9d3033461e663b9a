//! Explanation of a condition's verdict: its parts as they are written, the result of each, and the values it saw.
//!
//! The text is taken apart at `&&`, `||`, `!( )` and `?:`; every part is an expression of its own and is evaluated in
//! the order and within the budget of the whole. The verdict is that of [`Condition::matches`]. If the parts give
//! another verdict, the whole is shown as one part instead.
//!
//! The values come from the sender: a caller that shows them to people redacts them first.

mod logic;
mod seen;

use std::fmt;

use serde::Serialize;

use super::budget::Budget;
use super::{Condition, ConditionError, Expression, View, parsed};
use logic::Logic;

pub use logic::brief;
pub use seen::{SHOWN_CHARS_MAX, SeenValue};

/// The explanation of a condition over one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The verdict; an error is no match.
    pub matches: bool,
    /// The error of a condition without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The parts as they are written: first those from which the verdict follows, then the others.
    pub parts: Vec<Part>,
}

/// A part of a condition without logic of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The text as it is written.
    pub text: String,
    /// The result.
    pub gave: Gave,
    /// The error of a part without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// True if the verdict follows from this part, together with the other decisive parts.
    pub decisive: bool,
    /// The values that the part reads from the request, whether or not the part was reached.
    pub values: Vec<SeenValue>,
}

/// The result of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gave {
    /// The part holds.
    True,
    /// The part does not hold.
    False,
    /// The part failed; its error gives the reason.
    Error,
    /// The verdict was decided before this part.
    NotReached,
}

impl Condition {
    /// Returns the verdict of [`Condition::matches`], and the parts that explain it.
    pub fn explain(&self, view: &View<'_>) -> Explained {
        let verdict = self.matches(view);
        let (answer, mut parts) = taken_apart(&self.0.text, view);
        if answer.ok() != verdict.clone().ok() {
            let whole = Outcome { gave: Some(verdict.clone()), decisive: true };
            parts = vec![part(&self.0, &whole, view)];
        }
        parts.sort_by_key(|part| !part.decisive);
        let shown = |text: String| self.0.shown(&text);
        for part in &mut parts {
            part.text = shown(std::mem::take(&mut part.text));
            part.error = part.error.take().map(shown);
            part.values.iter_mut().for_each(|seen| seen.path = shown(std::mem::take(&mut seen.path)));
        }
        let error = verdict.as_ref().err().map(ToString::to_string).map(shown);
        Explained { matches: verdict.unwrap_or(false), error, parts }
    }
}

impl Condition {
    /// Returns the part at which it failed, as it is shown; the whole condition where that cannot be told.
    pub fn failed_part(&self, view: &View<'_>) -> String {
        let (answer, parts) = taken_apart(&self.0.text, view);
        let failed = |part: &Part| part.decisive && part.gave == Gave::Error;
        let part = parts.into_iter().find(failed).filter(|_| answer.is_err());
        self.0.shown(part.as_ref().map_or(&self.0.text, |part| &part.text))
    }
}

impl Explained {
    /// Returns the parts that gave true or false, each with its result.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, bool)> {
        self.parts.iter().filter_map(|part| match part.gave {
            Gave::True => Some((part.text.as_str(), true)),
            Gave::False => Some((part.text.as_str(), false)),
            Gave::Error | Gave::NotReached => None,
        })
    }
}

/// Returns the parts of a condition, as they are written.
pub(super) fn parts(text: &str) -> Vec<String> {
    let mut texts = Vec::new();
    Logic::of(text, &mut texts);
    texts.into_iter().map(str::to_owned).collect()
}

/// The outcome of a part.
#[derive(Clone, Debug, Default)]
struct Outcome {
    gave: Option<Result<bool, ConditionError>>,
    decisive: bool,
}

/// Returns the verdict that the parts give together, and the parts as they are written.
fn taken_apart(text: &str, view: &View<'_>) -> (Result<bool, ConditionError>, Vec<Part>) {
    let mut texts = Vec::new();
    let logic = Logic::of(text, &mut texts);
    // Parts of a text that compiles are expressions. A part that is none gives a verdict other than that of the whole.
    let Ok(expressions) = texts.into_iter().map(Expression::compile).collect::<Result<Vec<_>, _>>() else {
        return (Err(ConditionError::FunctionFailed { name: None }), Vec::new());
    };
    let mut outcomes = vec![Outcome::default(); expressions.len()];
    let budget = Budget::default();
    let answer = logic.answer(&mut |number| {
        let gave =
            expressions.get(number).map_or(Err(ConditionError::NotBool("nothing")), |part| part.truth(view, &budget));
        if let Some(outcome) = outcomes.get_mut(number) {
            outcome.gave = Some(gave.clone());
        }
        gave
    });
    for number in answer.because {
        if let Some(outcome) = outcomes.get_mut(number) {
            outcome.decisive = true;
        }
    }
    let parts = expressions.iter().zip(&outcomes).map(|(expression, outcome)| part(expression, outcome, view));
    (answer.gave, parts.collect())
}

fn part(expression: &Expression, outcome: &Outcome, view: &View<'_>) -> Part {
    let gave = match &outcome.gave {
        Some(Ok(true)) => Gave::True,
        Some(Ok(false)) => Gave::False,
        Some(Err(_)) => Gave::Error,
        None => Gave::NotReached,
    };
    let error = outcome.gave.as_ref().and_then(|gave| gave.as_ref().err()).map(ToString::to_string);
    let values = parsed(&expression.text).map(|(tree, _)| seen::values(&tree, view)).unwrap_or_default();
    Part { text: expression.text.clone(), gave, error, decisive: outcome.decisive, values }
}

/// Writes one line for the verdict, one for each part with `>` before the decisive ones, and one for each value.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.matches { "matches" } else { "does not match" })?;
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        for part in &self.parts {
            let mark = if part.decisive { '>' } else { ' ' };
            write!(f, "\n{mark} {}: ", part.text.replace(['\n', '\r'], " "))?;
            match (part.gave, &part.error) {
                (Gave::True, _) => f.write_str("true")?,
                (Gave::False, _) => f.write_str("false")?,
                (Gave::Error, error) => f.write_str(error.as_deref().unwrap_or("error"))?,
                (Gave::NotReached, _) => f.write_str("not reached")?,
            }
            for seen in &part.values {
                write!(f, "\n    {} = {}", seen.path, seen.value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
