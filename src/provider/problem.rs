//! What can be wrong with a scheme as it is written, each with a sentence that shows how to mend it.

use std::fmt;

use super::compile::NUMBERED_MAX;
use super::key::UnknownKeyForm;
use super::scheme::Kind;

/// What is wrong with a written scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeProblem {
    pub(super) block: usize,
    pub(super) key: &'static str,
    pub(super) fault: SchemeFault,
}

impl SchemeProblem {
    /// Which block, counted from 0.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The key of the block that is at fault.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for SchemeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some faults go on with the sentence that the key begins.
        let colon = match self.fault {
            SchemeFault::Missing(_)
            | SchemeFault::Unwanted(_)
            | SchemeFault::WrongAlgorithm(_)
            | SchemeFault::TimestampUnsigned
            | SchemeFault::NoValue(_) => "",
            _ => ":",
        };
        write!(f, "`{}`{colon} {}", self.key, self.fault)
    }
}

impl std::error::Error for SchemeProblem {}

/// What is wrong with one key of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SchemeFault {
    Missing(Kind),
    Unwanted(Kind),
    NoReason,
    NoneInList,
    WrongAlgorithm(Kind),
    KeyForm(UnknownKeyForm),
    Template(TemplateProblem),
    Regex(String),
    OnePlace,
    NotAPlace,
    Numbered,
    List,
    Path,
    TwoTolerances,
    TimestampUnsigned,
    NoValue(&'static str),
    MixedKeys,
    KeysForShared,
    Host,
    NoClaims,
}

impl fmt::Display for SchemeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(kind) => write!(f, "is needed with `type: {}`", kind.word()),
            Self::Unwanted(kind) => write!(f, "has no meaning with `type: {}`", kind.word()),
            Self::NoReason => f.write_str("say why nothing is verified: `verify: {type: none, reason: \"…\"}`"),
            Self::NoneInList => f.write_str("`none` cannot stand beside other blocks: anyone would pass"),
            Self::WrongAlgorithm(kind) => write!(f, "is not an algorithm for `type: {}`", kind.word()),
            Self::KeyForm(problem) => write!(f, "{problem}"),
            Self::Template(problem) => write!(f, "{problem}"),
            Self::Regex(problem) => write!(f, "{problem}"),
            Self::OnePlace => f.write_str("name exactly one place"),
            Self::NotAPlace => {
                f.write_str("write a place in the message: `header:X`, `json:/p`, `form:f` or `query:q`")
            }
            Self::Numbered => write!(f, "`max` goes from 1 to {NUMBERED_MAX}"),
            Self::List => f.write_str("write a `separator`, and either `assign` with `field`, or `positional: true`"),
            Self::Path => f.write_str("write a path such as `/items/*`"),
            Self::TwoTolerances => f.write_str("`tol` and `tolerance` say the same; keep `tolerance`"),
            Self::TimestampUnsigned => {
                f.write_str("is not part of `signed`, so that anyone could send an old message with a new time")
            }
            Self::MixedKeys => {
                f.write_str("mixes shared secrets and public keys, so that anyone could sign with a public key")
            }
            Self::KeysForShared => f.write_str("shared secrets are not fetched; only public keys are"),
            Self::Host => f.write_str("write a host such as `keys.example.com` or `*.example.com`"),
            Self::NoClaims => f.write_str("say what a claim must be, so that the token is tied to something"),
            Self::NoValue(value) => write!(f, "uses `{{{value}}}`, which this block does not define"),
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Digest => "digest",
            Self::Signature => "signature",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Code => "code",
            Self::None => "none",
        }
    }
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateProblem {
    /// `{` without `}`.
    UnclosedBrace,
    /// `}` without `{`.
    UnopenedBrace,
    /// `[` without `]`.
    UnclosedGroup,
    /// `[` inside `[ ]`.
    NestedGroup,
    /// A backslash before a character that needs none.
    Escape,
    /// No such value.
    UnknownValue(String),
    /// No such filter.
    UnknownFilter(String),
    /// Not the name of a header.
    HeaderName(String),
    /// Not a JSON pointer.
    Pointer(String),
    /// `signed_headers` needs a list, a separator, an assignment and a join.
    SignedHeaders,
    /// A value that has no meaning in this place.
    NotHere(String),
    /// Not an expression for an event type or id.
    Expression(String),
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnclosedBrace => f.write_str("`{` is not closed; write `\\{` for the character"),
            Self::UnopenedBrace => f.write_str("`}` closes nothing; write `\\}` for the character"),
            Self::UnclosedGroup => f.write_str("`[` is not closed; write `\\[` for the character"),
            Self::NestedGroup => f.write_str("a `[…]` group cannot stand inside another"),
            Self::Escape => f.write_str("a backslash stands only before n, t, r, \\, {, }, [ or ]"),
            Self::UnknownValue(name) => write!(f, "there is no value `{{{name}}}`"),
            Self::UnknownFilter(name) => write!(f, "there is no filter `|{name}`"),
            Self::HeaderName(name) => write!(f, "`{name}` is not the name of a header"),
            Self::Pointer(text) => write!(f, "`{text}` is not a JSON pointer; it begins with `/`"),
            Self::SignedHeaders => {
                f.write_str("write `{signed_headers:<source>;<list separator>;<assign or value>;<join>}`")
            }
            Self::NotHere(name) => write!(f, "`{name}` has no meaning here"),
            Self::Expression(text) => {
                write!(f, "`{text}` is neither `header['name']`, `body.a.b` nor a template such as `{{json:/a/b}}`")
            }
        }
    }
}

impl std::error::Error for TemplateProblem {}
