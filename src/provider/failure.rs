//! The reasons why a message is not verified: one closed list.
//!
//! Every failure has a label for metrics and a sentence for the operator that tells where to look. Neither ever holds a
//! secret, an expected signature or bytes of the message: only names that the scheme itself knows.

use std::fmt;
use std::time::Duration;

use super::location::KeyLocation;

/// An age that no wrong clock and no queue explains: the timestamp is in another unit.
const AGES: Duration = Duration::from_hours(24 * 365 * 40);

/// The reason why a message is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A value that the scheme needs is not there.
    Missing(MessagePlace),
    /// A value is there, but not in the form that the scheme prescribes.
    MalformedHeader(MalformedPart),
    /// The signature is well formed and matches no secret: the secret is wrong or the message was changed.
    WrongSecretOrBody,
    /// Signed rightly, but longer ago than the tolerance.
    TooOld {
        /// The distance from the window.
        by: Duration,
    },
    /// Signed rightly, but further ahead of our clock than the tolerance.
    InFuture {
        /// The distance from the window.
        by: Duration,
    },
    /// The message names a key that is not configured.
    UnknownKey,
    /// The key that the message names has to be fetched first, from here; then verify again.
    KeyNotHere(Box<KeyLocation>),
}

/// The kinds of failures: the closed list of metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// Something the scheme needs is not there.
    Missing,
    /// Something is not in the form that the scheme prescribes.
    MalformedHeader,
    /// The signature matches no secret.
    WrongSecretOrBody,
    /// Signed longer ago than the tolerance.
    TooOld,
    /// Signed further ahead than the tolerance.
    InFuture,
    /// The key that the message names is not configured, or has not been fetched.
    UnknownKey,
}

impl FailureKind {
    /// Returns the word for metrics, logs and `verify --batch`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::MalformedHeader => "malformed_header",
            Self::WrongSecretOrBody => "wrong_secret_or_body",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::UnknownKey => "unknown_key",
        }
    }

    /// Returns whether a signature was there in the right form.
    pub const fn is_well_formed(self) -> bool {
        !matches!(self, Self::Missing | Self::MalformedHeader)
    }
}

/// The verdict on a signature, as metrics and logs say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureVerdict {
    /// A secret of the source verifies it.
    Verified,
    /// The source verifies nothing (`verify: none`).
    NotConfigured,
    /// No secret verifies it.
    Failed(FailureKind),
}

impl SignatureVerdict {
    /// Returns the word for logs and `explain`: a failure with its kind.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotConfigured => "not_configured",
            Self::Failed(kind) => kind.label(),
        }
    }

    /// Returns the label of `verifications_total`, under which all failures are one.
    pub const fn metric_label(self) -> &'static str {
        match self {
            Self::Verified | Self::NotConfigured => self.label(),
            Self::Failed(_) => "failed",
        }
    }
}

impl Failure {
    /// Returns the kind, without the details.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Missing(_) => FailureKind::Missing,
            Self::MalformedHeader(_) => FailureKind::MalformedHeader,
            Self::WrongSecretOrBody => FailureKind::WrongSecretOrBody,
            Self::TooOld { .. } => FailureKind::TooOld,
            Self::InFuture { .. } => FailureKind::InFuture,
            Self::UnknownKey | Self::KeyNotHere(_) => FailureKind::UnknownKey,
        }
    }

    /// Returns the word of the kind.
    pub const fn label(&self) -> &'static str {
        self.kind().label()
    }

    pub(super) fn malformed(place: MessagePlace, fault: PartFault) -> Self {
        Self::MalformedHeader(MalformedPart { place, fault })
    }

    /// Returns how far verification came. Of several blocks, the one that came furthest explains the refusal best.
    pub(super) fn progress(&self) -> u8 {
        match self {
            Self::Missing(MessagePlace::Condition) => 0,
            Self::Missing(_) => 1,
            Self::MalformedHeader(_) => 2,
            Self::UnknownKey | Self::KeyNotHere(_) => 3,
            Self::WrongSecretOrBody => 4,
            Self::TooOld { .. } | Self::InFuture { .. } => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(MessagePlace::Condition) => {
                f.write_str("the request fits none of the ways of signing of this source")
            }
            Self::Missing(place) => write!(f, "{place} is missing"),
            Self::MalformedHeader(malformed) => write!(f, "{malformed}"),
            Self::WrongSecretOrBody => f.write_str("no signature matches: another secret, or the message was changed"),
            Self::TooOld { by } => {
                let hint =
                    if *by > AGES { "; the timestamp looks like seconds where milliseconds are due" } else { "" };
                write!(f, "signed too long ago, by {} s more than the tolerance{hint}", seconds(*by))
            }
            Self::InFuture { by } => {
                let by_unit = "the timestamp looks like milliseconds where seconds are due";
                let hint = if *by > AGES { by_unit } else { "this machine's clock may be wrong" };
                write!(f, "signed in the future, by {} s more than the tolerance; {hint}", seconds(*by))
            }
            Self::UnknownKey => f.write_str("the message names a key that is not configured"),
            Self::KeyNotHere(_) => f.write_str("the key that the message names has not been fetched"),
        }
    }
}

impl std::error::Error for Failure {}

/// Rounds up to whole seconds, so that no text reads "by 0 s".
fn seconds(by: Duration) -> u64 {
    by.as_secs() + u64::from(by.subsec_nanos() > 0)
}

/// A value that is not in its prescribed form, and its fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedPart {
    place: MessagePlace,
    fault: PartFault,
}

impl MalformedPart {
    /// Returns the fault, without the place.
    pub(super) const fn fault(&self) -> PartFault {
        self.fault
    }
}

impl fmt::Display for MalformedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.fault)
    }
}

/// A place in the message that a scheme can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePlace {
    /// A header, by its lower-case name.
    Header(String),
    /// A JSON pointer into the body.
    Json(String),
    /// A field of a form body.
    Form(String),
    /// A parameter of the query.
    Query(String),
    /// A named part of the signature header, such as `t`.
    Part(String),
    /// A value from the configuration, such as a webhook id.
    Context(String),
    /// The body as a whole.
    Body,
    /// The signature, wherever it stands.
    Signature,
    /// The moment of signing, wherever it stands.
    Timestamp,
    /// The conditions (`when`) of every block.
    Condition,
    /// A fixed part of the request, such as its method.
    Request,
}

impl fmt::Display for MessagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Json(pointer) => write!(f, "`{pointer}` in the JSON body"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Part(name) => write!(f, "`{name}` in the signature header"),
            Self::Context(label) => write!(f, "the configured `{label}`"),
            Self::Body => f.write_str("the body"),
            Self::Signature => f.write_str("the signature"),
            Self::Timestamp => f.write_str("the timestamp"),
            Self::Condition => f.write_str("the condition"),
            Self::Request => f.write_str("the request"),
        }
    }
}

/// The fault in the form of a [`MessagePlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartFault {
    /// More than one value where exactly one is due.
    Repeated,
    /// Longer than 8 KiB.
    TooLong,
    /// Not text.
    NotText,
    /// There, but empty.
    Empty,
    /// Not JSON.
    NotJson,
    /// Not `application/x-www-form-urlencoded`.
    NotForm,
    /// Something else where a single value is due: this.
    NotScalar(&'static str),
    /// Holds no signature of the expected kind.
    NoSignature,
    /// Lists more signatures than are looked at.
    TooMany,
    /// Lacks the prefix in front of the signature.
    NoPrefix,
    /// Is not in the expected encoding.
    Encoding,
    /// Decodes to another length than the algorithm has.
    Length,
    /// Is not a plain time in the expected unit.
    NotATime,
    /// Holds the separator between itself and its neighbour in the signed text; the first character of the separator.
    Separator(char),
    /// Has a form field whose name the provider does not use.
    FieldName,
    /// Holds characters that no URL holds.
    UrlCharacters,
    /// Has another value than the scheme requires.
    Unexpected,
    /// Is a text that a handshake of this source signs for whoever asks.
    Greeting,
    /// Does not name the timestamp header among what is signed.
    TimestampUnsigned,
    /// Is not a JSON Web Signature.
    NotAJws,
    /// Lacks a claim that the scheme requires.
    NoClaim,
    /// Names a place that is not the provider's.
    ForeignUrl,
}

impl fmt::Display for PartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Separator(begin) => {
                return write!(
                    f,
                    "holds {begin:?}, which separates it from what is signed beside it: another message could have the same \
                     signed text"
                );
            }
            Self::FieldName => "has a field with a name that the provider does not send",
            Self::NotScalar(found) => return write!(f, "is {found}, not a single value"),
            Self::UrlCharacters => "has characters in its URL that no URL has",
            Self::Repeated => "is there more than once",
            Self::TooLong => "is longer than 8 KiB",
            Self::NotText => "is not text",
            Self::Empty => "is empty",
            Self::NotJson => "is not JSON",
            Self::NotForm => "is not a form (application/x-www-form-urlencoded)",
            Self::NoSignature => "holds no signature of the expected kind",
            Self::TooMany => "lists too many signatures",
            Self::NoPrefix => "lacks the prefix of the scheme",
            Self::Encoding => "is not in the encoding of the scheme",
            Self::Length => "has the wrong length for the algorithm",
            Self::NotATime => "is not a plain time in the expected unit",
            Self::Unexpected => "has a value that the scheme does not allow",
            Self::Greeting => "is a text that this source's handshake signs for anyone, so it proves no event",
            Self::TimestampUnsigned => "does not cover the timestamp",
            Self::NotAJws => "is not a JSON Web Signature",
            Self::NoClaim => "lacks a claim of the scheme",
            Self::ForeignUrl => "names a place that is not the provider's",
        })
    }
}
