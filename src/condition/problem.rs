//! The problems of an expression when it is loaded, and its errors when it is evaluated.

use std::fmt;

use cel::common::ast::SourceInfo;
use cel::{ExecutionError, OverloadError, ParseErrors};

use super::times::BadTime;
use super::truth::Gives;
use super::view::Received;
use crate::encoding::named;

/// A place in the text of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConditionPlace {
    /// The offset in bytes.
    pub offset: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// The reason for which a condition cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionProblem {
    /// The text is longer than `TEXT_BYTES_MAX`.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A text that is not CEL.
    Syntax {
        /// The place of the error.
        at: ConditionPlace,
        /// The parser's message.
        message: String,
    },
    /// A letter beyond ASCII stands outside of its texts.
    ForeignLetter {
        /// The position of the letter.
        at: ConditionPlace,
        /// The letter.
        letter: char,
        /// The letter to write instead, if known.
        meant: Option<&'static str>,
    },
    /// It names a variable that does not exist.
    UnknownVariable {
        /// The place of the name.
        at: ConditionPlace,
        /// The name as written.
        name: String,
        /// The nearest known name.
        nearest: Option<&'static str>,
    },
    /// A function that does not exist.
    UnknownFunction {
        /// The place of the call.
        at: ConditionPlace,
        /// The name as written.
        name: String,
        /// The nearest known name.
        nearest: Option<&'static str>,
    },
    /// A call in a form that the function does not have.
    WrongCall {
        /// The place of the call.
        at: ConditionPlace,
        /// The name as written.
        name: String,
        /// A right call.
        form: &'static str,
    },
    /// A literal that can never be read as a time or a zone.
    BadTime {
        /// The place of the literal.
        at: ConditionPlace,
        /// The kind of literal that is invalid.
        problem: BadTime,
    },
    /// Comprehensions are nested deeper than `NESTING_MAX`.
    NestedTooDeep {
        /// The place of the comprehension that is too deep.
        at: ConditionPlace,
    },
    /// Expressions are nested deeper than `DEPTH_MAX`.
    TooComplex {
        /// The place of the expression that is too deep.
        at: ConditionPlace,
    },
    /// An expression that builds a message; there are no message types.
    NoMessages {
        /// The place of the message.
        at: ConditionPlace,
    },
    /// The pattern of `matches` is not a literal.
    PatternNotLiteral {
        /// The place of the call.
        at: ConditionPlace,
    },
    /// The pattern of `matches` is not a regular expression of the linear engine.
    BadPattern {
        /// The place of the call.
        at: ConditionPlace,
        /// The engine's message.
        message: String,
    },
    /// A literal number with more digits than a double.
    LongLiteral {
        /// The place of the number.
        at: ConditionPlace,
        /// The number as written, without its sign.
        number: String,
    },
    /// A condition, or a part of it that must be a boolean, can never be one.
    NeverBool {
        /// The place of the part.
        at: ConditionPlace,
        /// The value that it gives instead.
        gives: Gives,
    },
}

impl ConditionProblem {
    /// Returns the place of the problem; `None` for a text that is too long.
    pub fn place(&self) -> Option<ConditionPlace> {
        match self {
            Self::TooLong { bytes: _ } => None,
            Self::Syntax { at, message: _ }
            | Self::ForeignLetter { at, letter: _, meant: _ }
            | Self::UnknownVariable { at, name: _, nearest: _ }
            | Self::UnknownFunction { at, name: _, nearest: _ }
            | Self::WrongCall { at, name: _, form: _ }
            | Self::BadTime { at, problem: _ }
            | Self::NestedTooDeep { at }
            | Self::TooComplex { at }
            | Self::NoMessages { at }
            | Self::PatternNotLiteral { at }
            | Self::BadPattern { at, message: _ }
            | Self::LongLiteral { at, number: _ }
            | Self::NeverBool { at, gives: _ } => Some(*at),
        }
    }

    pub(super) fn syntax(text: &str, errors: &ParseErrors) -> Self {
        let Some(first) = errors.errors.first() else {
            return Self::Syntax { at: ConditionPlace::default(), message: "the expression cannot be read".to_owned() };
        };
        let (line, column) = first.pos;
        let line = usize::try_from(line).unwrap_or(0).max(1);
        let column = usize::try_from(column).unwrap_or(0).max(1);
        let at = ConditionPlace::of_line(text, line, column);
        let rest = text.get(at.offset..).unwrap_or_default();
        let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let instead = match word {
            "and" | "AND" => "; write `&&`",
            "or" | "OR" => "; write `||`",
            "not" | "NOT" => "; write `!`",
            _ if first.msg.starts_with("invalid int literal") => {
                "; an integer has 64 bits: compare the digits of a longer one, string(…) == \"…\""
            }
            _ if rest.starts_with('=') && !rest.starts_with("==") => "; write `==` to compare",
            _ => "",
        };
        Self::Syntax { at, message: in_words(&first.msg) + instead }
    }
}

impl fmt::Display for ConditionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = |f: &mut fmt::Formatter<'_>, nearest: Option<&str>| match nearest {
            Some(name) => write!(f, "; did you mean \"{name}\"?"),
            None => Ok(()),
        };
        match self {
            Self::TooLong { bytes } => {
                write!(f, "an expression has at most {} bytes, this one has {bytes}", super::TEXT_BYTES_MAX)
            }
            Self::Syntax { at: _, message } => f.write_str(message),
            Self::ForeignLetter { at: _, letter, meant: Some(meant) } => {
                write!(f, "{} is no part of CEL; write `{meant}`", named(*letter))
            }
            Self::ForeignLetter { at: _, letter, meant: None } => {
                let shown = named(*letter);
                write!(f, "{shown} stands outside of quotes; a name with such letters is written body[\"…\"]")
            }
            Self::UnknownVariable { at: _, name, nearest } => {
                write!(f, "there is no variable \"{name}\"")?;
                match nearest {
                    Some(_) => meant(f, *nearest),
                    None => write!(f, "; the variables are {}", super::check::VARIABLES.join(", ")),
                }
            }
            Self::UnknownFunction { at: _, name, nearest } => {
                write!(f, "there is no function \"{name}\"")?;
                let names = super::functions::names().join(", ");
                match nearest {
                    Some(near) => write!(f, "; did you mean \"{near}\"? The functions are {names}"),
                    None => write!(f, "; the functions are {names}"),
                }
            }
            Self::WrongCall { at: _, name, form } => write!(f, "{name}() is called so: {form}"),
            Self::BadTime { at: _, problem } => write!(f, "{problem}"),
            Self::NestedTooDeep { at: _ } => {
                write!(f, "all, exists, map and filter may be nested {} deep", super::NESTING_MAX)
            }
            Self::TooComplex { at: _ } => write!(f, "expressions may be nested {} deep", super::DEPTH_MAX),
            Self::NoMessages { at: _ } => f.write_str("there are no message types; write a map: {\"name\": value}"),
            Self::PatternNotLiteral { at: _ } => f.write_str("the pattern of matches() must be a literal text"),
            Self::BadPattern { at: _, message } => write!(f, "the pattern cannot be used: {message}"),
            Self::LongLiteral { at: _, number } => write!(
                f,
                "{number} is no double, which has about 17 digits; compare the digits: string(…) == \"{}\"",
                number.trim_end_matches(".0")
            ),
            Self::NeverBool { at: _, gives } => write!(f, "{gives}"),
        }
    }
}

impl std::error::Error for ConditionProblem {}

/// Returns the parser's message without the list of all tokens that could have come instead.
fn in_words(message: &str) -> String {
    let brief = message.split(" expecting ").next().unwrap_or(message);
    if brief.contains("'<EOF>'") {
        return "Syntax error: it ends too early".to_owned();
    }
    brief.replace("mismatched input", "unexpected").replace("extraneous input", "unexpected")
}

impl ConditionPlace {
    pub(super) fn of(id: u64, places: &SourceInfo) -> Self {
        let start = places.offset_for(id).map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        Self::of_offset(&places.source, start)
    }

    pub(super) fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = 1 + before.get(line_start..).unwrap_or_default().chars().count();
        Self { offset, line: 1 + before.matches('\n').count(), column }
    }

    fn of_line(text: &str, line: usize, column: usize) -> Self {
        let line_start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let rest = text.get(line_start..).unwrap_or_default();
        let within: usize = rest.chars().take(column - 1).map(char::len_utf8).sum();
        Self { offset: line_start + within, line, column }
    }
}

/// The error of an evaluation that gives no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionError {
    /// The condition reads the body, which is not JSON.
    NoBody,
    /// The body is not JSON, for this reason.
    BodyNotJson(String),
    /// A missing key or index. The name is given when it stands in the condition itself.
    MissingKey {
        /// The name as written.
        name: Option<String>,
    },
    /// An operator or function was given a type that it does not take.
    WrongType {
        /// The kinds of the given values, if known; never the values.
        found: Option<String>,
    },
    /// A number of the payload has more digits than a 64-bit integer or a double, and was to be calculated with.
    LongNumber,
    /// A number left its range, or was divided by zero.
    Arithmetic,
    /// A function failed, such as `int("x")`.
    FunctionFailed {
        /// The name of the function, if it is one that expressions may call.
        name: Option<&'static str>,
    },
    /// The payload asks for more than `STEPS_MAX`.
    TooLarge,
    /// The condition's value is not a boolean, but of this kind.
    NotBool(&'static str),
    /// The value is no key: a list, a map, bytes, no number.
    NotAKey(&'static str),
    /// JSON cannot say the value.
    NotJson(NotJson),
    /// The value is larger than `VALUE_BYTES_MAX`, `VALUE_NODES_MAX` or `VALUE_DEPTH_MAX`.
    ValueTooLarge,
}

/// The kinds of values that JSON cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJson {
    /// An optional, such as the value of `body.?x`.
    Optional,
    /// A map with a key that is not a text.
    Key,
    /// NaN or an infinity.
    NotFinite,
    /// A type, or another value that only CEL knows.
    Type,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Optional => {
                "an optional is not JSON; end it with .orValue(…), or write {?\"name\": body.?x} in a map"
            }
            Self::Key => "a key of a JSON object is a text; write {\"1\": …} or string(…)",
            Self::NotFinite => "a number that is infinite or NaN is not JSON",
            Self::Type => "a value is of a type that JSON does not have",
        })
    }
}

impl ConditionError {
    /// Converts an error of cel. Only its kind is kept, because cel's texts show payload values.
    pub(super) fn of(error: &ExecutionError, text: &str) -> Self {
        match error {
            ExecutionError::UndeclaredReference(_) => Self::NoBody,
            ExecutionError::NoSuchKey(name) => {
                Self::MissingKey { name: Some(name.as_str()).filter(|name| text.contains(*name)).map(str::to_owned) }
            }
            ExecutionError::IndexOutOfBounds(_) => Self::MissingKey { name: None },
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) | ExecutionError::Overflow(..) => {
                Self::Arithmetic
            }
            ExecutionError::FunctionError { function, .. } => {
                Self::FunctionFailed { name: super::functions::known(function) }
            }
            ExecutionError::DuplicateKey(_) | ExecutionError::InternalError(_) => Self::FunctionFailed { name: None },
            ExecutionError::NoSuchOverload(wrong) => Self::WrongType { found: Some(given(wrong)) },
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
                let [left, right] = [left, right].map(|value| kind_word(&value.type_of().to_string()));
                Self::WrongType { found: Some(format!("`{}` cannot use {left} and {right}", sign(operator))) }
            }
            ExecutionError::UnexpectedType { got, want } => {
                let found = format!("{} stands where {} is needed", kind_word(got), kind_word(want));
                Self::WrongType { found: Some(found) }
            }
            _ => Self::WrongType { found: None },
        }
    }
}

/// Returns the sign of an operator, from cel's name of it.
fn sign(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    }
}

/// Returns the kind of a value, for people, from the name of its type.
pub(super) fn kind_word(name: &str) -> &'static str {
    match name {
        "string" => "a text",
        "int" | "uint" | "double" | "float" | "number" | "digits" => "a number",
        "bool" => "a boolean",
        "list" => "a list",
        "map" => "an object",
        "null_type" | "null" => "null",
        "bytes" => "bytes",
        "google.protobuf.Timestamp" | "timestamp" => "a timestamp",
        "google.protobuf.Duration" | "duration" => "a duration",
        "optional_type" => "an optional",
        _ => "a value of another kind",
    }
}

/// The operator or function of a call, and the kinds of values that it was given.
fn given(call: &OverloadError) -> String {
    let kinds: Vec<&str> = call.argument_types().iter().map(|name| kind_word(name)).collect();
    match call.function() {
        "_._" | "_?._" => format!("{} has no members", kinds.first().unwrap_or(&"the value")),
        "_[_]" | "_[?_]" => format!("`[…]` cannot use {}", kinds.join(" and ")),
        "@in" => format!("`in` cannot use {}", kinds.join(" and ")),
        function if function.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            format!("`{function}()` cannot use {}", kinds.join(" and "))
        }
        operator => format!("`{}` cannot use {}", operator.replace('_', ""), kinds.join(" and ")),
    }
}

impl ConditionError {
    /// Adds the reason for which there is no JSON.
    pub(super) fn about(self, received: &dyn Received) -> Self {
        match self {
            Self::NoBody => received.no_json().map_or(Self::NoBody, Self::BodyNotJson),
            other => other,
        }
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBody => f.write_str("the body is not JSON"),
            Self::BodyNotJson(why) => f.write_str(why),
            Self::MissingKey { name: Some(name) } => write!(f, "there is no \"{name}\"; see has() and .?"),
            Self::MissingKey { name: None } => f.write_str("a key or index is not there"),
            Self::WrongType { found: Some(found) } => f.write_str(found),
            Self::WrongType { found: None } => f.write_str("a value has a type that the expression cannot use"),
            Self::LongNumber => f.write_str(
                "a number has more digits than expressions calculate with (64-bit integers and doubles); copy it, compare \
                 it with body.x on the left side, or use its digits: string(body.x)",
            ),
            Self::Arithmetic => f.write_str("a number is out of range or divided by zero"),
            Self::FunctionFailed { name: Some(name) } => write!(f, "the function {name}() cannot use its argument"),
            Self::FunctionFailed { name: None } => f.write_str("a function failed"),
            Self::TooLarge => write!(f, "the payload asks for more than {} steps", super::STEPS_MAX),
            Self::NotBool(gives) => write!(f, "the condition gives {gives}, neither true nor false"),
            Self::NotAKey(gives) => write!(
                f,
                "the value is {gives}, and no key: a key is a text, a number, a boolean or a time, and null or an empty \
                 optional is none"
            ),
            Self::NotJson(why) => write!(f, "{why}"),
            Self::ValueTooLarge => write!(
                f,
                "the value is larger than {} MiB, {} values or {} levels",
                super::VALUE_BYTES_MAX >> 20,
                super::VALUE_NODES_MAX,
                super::VALUE_DEPTH_MAX
            ),
        }
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
pub(super) const WRONG_TYPE: ConditionError = ConditionError::WrongType { found: None };

#[cfg(test)]
impl ConditionError {
    /// Returns the same without what was found, for tests about the kind of an error.
    pub(super) fn bare(self) -> Self {
        if let Self::WrongType { .. } = self { WRONG_TYPE } else { self }
    }
}
