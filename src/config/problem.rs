//! A problem in the configuration: its message, its place, and the help.
//!
//! The message names the problem, the help the solution; both are whole by themselves, because CI annotations and JSON
//! show them without the line. Text from the file is quoted by [`quoted`], so that a file cannot write control
//! sequences to a terminal.

use std::fmt;
use std::path::{Path, PathBuf};

use super::spans::Span;

/// The limit of problems, after which the search ends.
pub const PROBLEMS_MAX: usize = 100;

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but is probably a mistake.
    Warning,
}

impl Severity {
    /// Returns the severity as it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The kind of a problem; tools may rely on the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The text is not YAML, or uses a part of YAML that has no place here (tags, several documents).
    Syntax,
    /// A control character or another invisible one stands in the text.
    ControlCharacter,
    /// The file is empty or holds only comments.
    EmptyFile,
    /// The file is too large, too deep, or its aliases unfold to too much.
    LimitExceeded,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// `<<` does not name a mapping.
    BadMerge,
    /// A key that does not exist here.
    UnknownKey,
    /// A key or value of the format that this version cannot do yet.
    Unsupported,
    /// A required key is missing.
    MissingKey,
    /// A value has the wrong type: a list where text belongs.
    WrongType,
    /// A value is not among those that are allowed.
    UnknownValue,
    /// A number without the unit that belongs to it.
    MissingUnit,
    /// The value has the right type, but is not valid.
    InvalidValue,
    /// The name of a listener, source, route, destination or provider has characters that names cannot have.
    InvalidName,
    /// A secret stands in the file itself.
    InlineSecret,
    /// `${…}` is written wrongly or stands in a secret.
    BadVariable,
    /// `${NAME}` without a default, and the environment has no NAME.
    UnsetVariable,
    /// A name that no entry has.
    UnknownName,
    /// Two sources answer at one place.
    SamePlace,
    /// A source has no secret, and does not say that it wants none.
    MissingSecret,
    /// A secret cannot be read, or is empty.
    UnusableSecret,
    /// A file cannot be read or used: a certificate, a key.
    UnusableFile,
    /// A signature scheme is inconsistent.
    InvalidScheme,
    /// A JSON Schema cannot be loaded.
    InvalidSchema,
    /// A condition does not compile.
    InvalidCondition,
    /// A script cannot be run.
    InvalidScript,
    /// Warning: nothing uses this.
    Unused,
    /// Warning: a secret is not accepted much longer, or a certificate has expired.
    EndsSoon,
    /// Warning: events may be lost that the default would keep.
    WeakDurability,
    /// Warning: `max_size` and the reserve exceed the disk.
    LargerThanTheDisk,
    /// Warning: events that fail their checks are counted and go on.
    NotEnforced,
    /// Warning: this version supports a part of the setting.
    Partial,
    /// Warning: events wait in a running gateway for a destination that the file does not have.
    Backlog,
    /// Warning: the provider's row was not checked against the provider's documentation.
    Unproven,
    /// Warning: another glob takes all that this one takes.
    Shadowed,
    /// Warning: another route sends the same events to the same place.
    Repeated,
    /// Warning: a usable setting that is probably a mistake.
    Misspelt,
    /// Warning: two settings, or a setting and the provider, do not fit together.
    Mismatch,
    /// Warning: an expression fails with an error on events that their schema allows.
    MayFail,
    /// Warning: requests can be read and changed on their way.
    PlainHttp,
    /// Warning: more senders are trusted than was probably meant.
    TooOpen,
    /// Warning: the facts about the provider are old.
    Outdated,
    /// Warning: a secret stands in quotes, begins with a mark, or holds invisible characters.
    OddSecret,
    /// There are more problems than are shown.
    TooManyProblems,
}

impl Code {
    /// Returns the code as it is shown and as `--format json` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::ControlCharacter => "control_character",
            Self::EmptyFile => "empty_file",
            Self::LimitExceeded => "limit_exceeded",
            Self::DuplicateKey => "duplicate_key",
            Self::BadMerge => "bad_merge",
            Self::UnknownKey => "unknown_key",
            Self::Unsupported => "unsupported",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::UnknownValue => "unknown_value",
            Self::MissingUnit => "missing_unit",
            Self::InvalidValue => "invalid_value",
            Self::InvalidName => "invalid_name",
            Self::InlineSecret => "inline_secret",
            Self::BadVariable => "bad_variable",
            Self::UnsetVariable => "unset_variable",
            Self::UnknownName => "unknown_name",
            Self::SamePlace => "same_place",
            Self::MissingSecret => "missing_secret",
            Self::UnusableSecret => "unusable_secret",
            Self::UnusableFile => "unusable_file",
            Self::InvalidScheme => "invalid_scheme",
            Self::InvalidSchema => "invalid_schema",
            Self::InvalidCondition => "invalid_condition",
            Self::InvalidScript => "invalid_script",
            Self::Unused => "unused",
            Self::EndsSoon => "ends_soon",
            Self::WeakDurability => "weak_durability",
            Self::LargerThanTheDisk => "larger_than_the_disk",
            Self::NotEnforced => "not_enforced",
            Self::Partial => "partial",
            Self::Backlog => "backlog",
            Self::Unproven => "unproven",
            Self::Shadowed => "shadowed",
            Self::Repeated => "repeated",
            Self::Misspelt => "misspelt",
            Self::Mismatch => "mismatch",
            Self::MayFail => "may_fail",
            Self::PlainHttp => "plain_http",
            Self::TooOpen => "too_open",
            Self::Outdated => "outdated",
            Self::OddSecret => "odd_secret",
            Self::TooManyProblems => "too_many_problems",
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The severity.
    pub severity: Severity,
    /// The kind.
    pub code: Code,
    /// The message, in one line.
    pub message: String,
    /// The way to solve it.
    pub help: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// The place.
    pub span: Span,
    /// A second place of the problem, such as the first of two definitions.
    pub second: Option<Second>,
}

/// A second place of a problem; it can be in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// The file.
    pub file: PathBuf,
    /// The place.
    pub span: Span,
    /// The label of the place.
    pub label: String,
}

impl Problem {
    /// Creates an error.
    pub fn error(code: Code, file: &Path, span: Span, message: impl Into<String>) -> Self {
        let (message, file) = (message.into(), file.to_path_buf());
        Self { severity: Severity::Error, code, message, help: None, file, span, second: None }
    }

    /// Creates a warning.
    pub fn warning(code: Code, file: &Path, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// Adds the way to solve the problem; empty text adds nothing.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// Returns the place as editors and terminals take it: file, line, column.
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.file.display(), self.span.start.line, self.span.start.column)
    }

    /// Adds a second place, which lies in `file`.
    #[must_use]
    pub fn second(mut self, file: &Path, span: Span, label: impl Into<String>) -> Self {
        self.second = Some(Second { file: file.to_path_buf(), span, label: label.into() });
        self
    }
}

/// The problems found so far: each once, and at most [`PROBLEMS_MAX`].
///
/// A text can be read several times, through an alias or a merge, but its mistake is one: problems of one kind at one
/// place are one problem.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem, unless it is known or there are too many.
    pub fn push(&mut self, problem: Problem) {
        let is_same = |known: &Problem| known.span == problem.span && known.code == problem.code;
        if self.is_full() || self.0.iter().any(is_same) {
            return;
        }
        self.0.push(problem);
        if let (true, Some(last)) = (self.is_full(), self.0.last()) {
            let message = format!("there are more than {PROBLEMS_MAX} problems; the rest is not shown");
            let note = Problem::error(Code::TooManyProblems, &last.file, last.span, message);
            self.0.push(note.help("put these right first and check again"));
        }
    }

    /// Adds a problem that may share its kind and place with another one, unless it is the same.
    pub fn push_beside(&mut self, problem: Problem) {
        if !self.0.contains(&problem) && !self.is_full() {
            self.0.push(problem);
        }
    }

    /// Returns the problems in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Returns the number of problems.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether no more problems are taken.
    pub fn is_full(&self) -> bool {
        self.0.len() >= PROBLEMS_MAX
    }

    /// Returns the problems in the order of the files; the note that there are more comes last.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| (problem.code == Code::TooManyProblems, problem.span));
        self.0
    }
}

/// Quotes text from the file for a message: in backquotes, control characters escaped, long text cut.
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// A quoted text; see [`quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

const QUOTED_CHARS_MAX: usize = 100;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for c in self.0.chars().take(QUOTED_CHARS_MAX) {
            write_escaped(f, c)?;
        }
        f.write_str(if self.0.chars().nth(QUOTED_CHARS_MAX).is_some() { "…`" } else { "`" })
    }
}

/// Returns a text as it is quoted, uncut and without the backquotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a string does not fail.
        write_escaped(&mut escaped, c).unwrap_or_default();
    }
    escaped
}

fn write_escaped(to: &mut impl fmt::Write, c: char) -> fmt::Result {
    if is_hidden(c) || c == '\n' || c == '\t' { write!(to, "{}", c.escape_default()) } else { to.write_char(c) }
}

/// Returns whether a character is invisible or changes how text is seen: controls, and the marks that turn the
/// direction of text (which can make a file look different).
pub(super) fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_steer_a_terminal() {
        assert_eq!(quoted("a\u{1b}[31mb\n").to_string(), "`a\\u{1b}[31mb\\n`");
    }

    #[test]
    fn a_problem_that_is_read_twice_is_one_problem() {
        let mut problems = Problems::default();
        let problem = Problem::error(Code::Syntax, Path::new("f"), Span::TOP, "m");
        problems.push(problem.clone());
        problems.push(problem);
        assert_eq!(problems.into_sorted().len(), 1);
    }
}
