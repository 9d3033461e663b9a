//! The faults of a written scheme, each with a sentence that shows how to correct it.

use std::fmt;

use super::compile::NUMBERED_MAX;
use super::key::UnknownKeyForm;
use super::scheme::SchemeKind;
use super::template_errors::{TemplateProblem, Within};

/// The fault of a written scheme, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeProblem {
    pub(super) block: usize,
    pub(super) key: &'static str,
    pub(super) fault: SchemeFault,
}

impl SchemeProblem {
    /// Returns the number of the block, counted from 0.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Returns the key of the block that is at fault.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Returns the part of a text that is at fault, if that is not the whole value of the key.
    pub fn within(&self) -> Option<&Within> {
        match &self.fault {
            SchemeFault::Template(problem) => Some(problem.within()),
            SchemeFault::NoValue(_, within) => within.as_ref(),
            _ => None,
        }
    }

    /// Returns whether the whole value of the key may be repeated in the error.
    pub fn repeats_value(&self) -> bool {
        matches!(self.fault, SchemeFault::Regex(_))
    }

    /// Returns the problem of the template, if a template is at fault.
    pub fn template(&self) -> Option<&TemplateProblem> {
        if let SchemeFault::Template(problem) = &self.fault { Some(problem) } else { None }
    }
}

impl fmt::Display for SchemeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some faults continue the sentence that the key begins.
        let colon = match self.fault {
            SchemeFault::Missing(_)
            | SchemeFault::Unwanted(_)
            | SchemeFault::WrongAlgorithm(_)
            | SchemeFault::TimestampUnsigned
            | SchemeFault::NoValue(..) => "",
            _ => ":",
        };
        write!(f, "`{}`{colon} {}", self.key, self.fault)
    }
}

impl std::error::Error for SchemeProblem {}

/// The fault of one key of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SchemeFault {
    Missing(SchemeKind),
    Unwanted(SchemeKind),
    NoReason,
    NoneInList,
    WrongAlgorithm(SchemeKind),
    KeyForm(UnknownKeyForm),
    Template(TemplateProblem),
    Regex(String),
    OnePlace,
    NotAPlace,
    Numbered,
    List,
    Path,
    TwoTolerances,
    NoTolerance,
    TimestampUnsigned,
    NoValue(&'static str, Option<Within>),
    MixedKeys,
    KeysForShared,
    Host,
    NoClaims,
    NotSigned,
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
            Self::NoTolerance => f.write_str(
                "takes no message, because none comes in the moment of its time; write `5m`, or `none` for any age",
            ),
            Self::TimestampUnsigned => {
                f.write_str("is not part of `signed`, so that anyone could send an old message with a new time")
            }
            Self::MixedKeys => {
                f.write_str("mixes shared secrets and public keys, so that anyone could sign with a public key")
            }
            Self::KeysForShared => f.write_str("shared secrets are not fetched; only public keys are"),
            Self::Host => f.write_str("write a host such as `keys.example.com` or `*.example.com`"),
            Self::NoClaims => f.write_str("say what a claim must be, so that the token is tied to something"),
            Self::NotSigned => f.write_str("names a value that is not part of `signed`"),
            Self::NoValue(value, _) => write!(f, "uses `{{{value}}}`, which this block does not define"),
        }
    }
}

impl SchemeKind {
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
