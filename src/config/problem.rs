//! A problem in the configuration: what is wrong, where, and how to put it right.
//!
//! The message says what is wrong, the help how to fix it; both are whole by themselves, because CI annotations and
//! JSON show them without the line. Text taken from the file is quoted by [`quoted`], so that a file cannot write
//! control sequences to a terminal.

use std::fmt;
use std::path::{Path, PathBuf};

use super::spans::Span;

/// After so many problems the rest is not looked for.
pub const PROBLEMS_MAX: usize = 100;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not mean what was meant.
    Warning,
}

impl Severity {
    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What kind of problem it is; tools may rely on the names.
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
    /// The value has the right type but no sense.
    InvalidValue,
    /// The name of a listener, source, route, destination or provider has characters that names cannot have.
    InvalidName,
    /// A secret stands in the file itself.
    InlineSecret,
    /// `${…}` is written wrongly or stands in a secret.
    BadVariable,
    /// `${NAME}` without a default, and the environment has no NAME.
    UnsetVariable,
    /// A name that nothing has.
    UnknownName,
    /// Two sources answer at one place.
    SamePlace,
    /// A source has no secret, and does not say that it wants none.
    MissingSecret,
    /// A secret cannot be read, or nothing is in it.
    UnusableSecret,
    /// A file cannot be read or used: a certificate, a key.
    UnusableFile,
    /// A signature scheme does not hold together.
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
    /// Warning: what fails its checks is counted and goes on.
    NotEnforced,
    /// Warning: this version does a part of what the key says.
    Partial,
    /// Warning: events wait in a running gateway for a destination that the file does not have.
    Backlog,
    /// Warning: nobody has checked the provider's row against the provider's words.
    Unproven,
    /// Warning: another glob takes all that this one takes.
    Shadowed,
    /// Warning: another route sends the same events to the same place.
    Repeated,
    /// Warning: this can be used, and was probably meant otherwise.
    Misspelt,
    /// Warning: two settings, or a setting and the provider, do not fit together.
    Mismatch,
    /// Warning: an expression fails with an error on events that their schema allows.
    MayFail,
    /// Warning: what is sent can be read and changed on its way.
    PlainHttp,
    /// Warning: more people are believed than were probably meant.
    TooOpen,
    /// Warning: what is known of the provider is old.
    Outdated,
    /// Warning: a secret stands in quotes, begins with a mark, or holds what nobody sees.
    OddSecret,
    /// There are more problems than are shown.
    TooManyProblems,
}

impl Code {
    /// As shown and as written by `--format json`.
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
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// How to put it right.
    pub help: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// The place.
    pub span: Span,
    /// Another place that belongs to it: the first of two definitions.
    pub second: Option<Second>,
}

/// A second place of a problem; it can be in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// The file.
    pub file: PathBuf,
    /// The place.
    pub span: Span,
    /// What is there.
    pub label: String,
}

impl Problem {
    /// An error.
    pub fn error(code: Code, file: &Path, span: Span, message: impl Into<String>) -> Self {
        let (message, file) = (message.into(), file.to_path_buf());
        Self { severity: Severity::Error, code, message, help: None, file, span, second: None }
    }

    /// A warning.
    pub fn warning(code: Code, file: &Path, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, file, span, message) }
    }

    /// With the way to put it right; empty text adds nothing.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// Where it is, as editors and terminals take it: file, line, column.
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.file.display(), self.span.start.line, self.span.start.column)
    }

    /// With a second place, which lies in `file`.
    #[must_use]
    pub fn second(mut self, file: &Path, span: Span, label: impl Into<String>) -> Self {
        self.second = Some(Second { file: file.to_path_buf(), span, label: label.into() });
        self
    }
}

/// The problems found so far: each once, and at most [`PROBLEMS_MAX`].
///
/// The same text can be read several times, through an alias or a merge; it is wrong only once, so problems of one kind
/// at one place are one problem.
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

    /// Those found so far, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many were found.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no more will be taken.
    pub fn is_full(&self) -> bool {
        self.0.len() >= PROBLEMS_MAX
    }

    /// In the order of the files; the note that there are more comes last.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| (problem.code == Code::TooManyProblems, problem.span));
        self.0
    }
}

/// Text from the file as a message shows it: in backquotes, control characters escaped, long text cut.
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// See [`quoted`].
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

/// A text as it is quoted, uncut and without the backquotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // A string takes everything.
        write_escaped(&mut escaped, c).unwrap_or_default();
    }
    escaped
}

fn write_escaped(to: &mut impl fmt::Write, c: char) -> fmt::Result {
    if is_hidden(c) || c == '\n' || c == '\t' { write!(to, "{}", c.escape_default()) } else { to.write_char(c) }
}

/// A character that would not be seen or would change what is seen: controls, and the marks that turn the direction of
/// text (with which a file can look other than it is).
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
