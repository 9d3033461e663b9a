//! The reasons why a set of schemas cannot be loaded.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::SchemaName;
use crate::encoding::NotUtf8;

/// One problem of one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaProblem {
    /// A file or folder cannot be read.
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The kind of error.
        kind: io::ErrorKind,
    },
    /// A path leads out of the root, perhaps by a symbolic link.
    Outside {
        /// The path.
        path: PathBuf,
    },
    /// A file is larger than `FILE_BYTES_MAX`.
    TooLarge {
        /// The schema.
        schema: SchemaName,
        /// Its size, in bytes.
        bytes: usize,
    },
    /// There are more files than `FILES_MAX`.
    TooMany,
    /// A file is not UTF-8.
    NotText {
        /// The schema.
        schema: SchemaName,
        /// The encoding that it seems to have, and the place where that shows.
        problem: NotUtf8,
    },
    /// A file is not JSON.
    NotJson {
        /// The schema.
        schema: SchemaName,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// `$schema` names a draft that is not known here.
    UnknownDraft {
        /// The schema.
        schema: SchemaName,
        /// The text, as written.
        draft: String,
    },
    /// A `$ref` leads anywhere but to a file inside the root.
    ForeignRef {
        /// The schema in which it stands.
        schema: SchemaName,
        /// The text, as written.
        reference: String,
    },
    /// A `$ref` names a part that does not exist.
    BrokenRef {
        /// The schema in which it stands.
        schema: SchemaName,
        /// The reader's words.
        message: String,
    },
    /// A pattern needs look-around or back-references, or is no regular expression at all.
    BadPattern {
        /// The schema.
        schema: SchemaName,
        /// JSON pointer.
        at: String,
        /// The text, as written.
        pattern: String,
    },
    /// The schema breaks its own draft.
    BadSchema {
        /// The schema.
        schema: SchemaName,
        /// JSON pointer.
        at: String,
        /// The reader's words.
        message: String,
    },
    /// An event's glob cannot be read.
    BadGlob {
        /// The text, as written.
        glob: String,
        /// The reader's words.
        message: String,
    },
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, kind: io::ErrorKind::NotFound } => write!(f, "{}: does not exist", path.display()),
            Self::Unreadable { path, kind } => write!(f, "{}: cannot be read: {kind}", path.display()),
            Self::Outside { path } => write!(f, "{}: lies outside the folder of schemas", path.display()),
            Self::TooLarge { schema, bytes } => {
                write!(f, "{schema}: has {bytes} bytes, more than {}", super::FILE_BYTES_MAX)
            }
            Self::TooMany => write!(f, "there are more than {} schema files", super::FILES_MAX),
            Self::NotText { schema, problem } => write!(f, "{schema}: {problem}"),
            Self::NotJson { schema, line, column } => write!(f, "{schema}:{line}:{column}: is not JSON"),
            Self::UnknownDraft { schema, draft } => {
                write!(f, "{schema}: \"$schema\": \"{draft}\" is not known; use draft-07 or 2020-12")
            }
            Self::ForeignRef { schema, reference } => write!(
                f,
                "{schema}: \"$ref\": \"{reference}\" leads out of the folder of schemas; nothing is fetched, copy the file"
            ),
            Self::BrokenRef { schema, message } => write!(f, "{schema}: a \"$ref\" leads nowhere: {message}"),
            Self::BadPattern { schema, at, pattern } => write!(
                f,
                "{schema}: the pattern \"{pattern}\" at {at} cannot be used: it needs look-around or back-references, \
                 which can take minutes on a hostile text, or is no regular expression"
            ),
            Self::BadSchema { schema, at, message } => write!(f, "{schema}: {at}: {message}"),
            Self::BadGlob { glob, message } => write!(f, "the event pattern \"{glob}\": {message}"),
        }
    }
}

impl std::error::Error for SchemaProblem {}

/// Content of a schema that is valid and probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaDoubt {
    /// A keyword that is nearly another one.
    Keyword {
        /// The name of the schema.
        schema: SchemaName,
        /// JSON pointer.
        at: String,
        /// The text, as written.
        keyword: String,
        /// The keyword that was probably meant.
        meant: &'static str,
    },
    /// A description of an API instead of a schema.
    OpenApi {
        /// The name of the schema.
        schema: SchemaName,
    },
    /// No keyword that a validator knows.
    NoKeyword {
        /// The name of the schema.
        schema: SchemaName,
    },
}

impl fmt::Display for SchemaDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword { schema, at, keyword, meant } => {
                write!(
                    f,
                    "{schema}: {at}: \"{keyword}\" is no keyword of JSON Schema, so it checks nothing; did you mean \"{meant}\"?"
                )
            }
            Self::OpenApi { schema } => write!(
                f,
                "{schema}: is an OpenAPI document, which as a schema accepts everything; copy the schema out of it \
                 (`components/schemas`)"
            ),
            Self::NoKeyword { schema } => {
                write!(f, "{schema}: has no keyword of JSON Schema, so it accepts everything")
            }
        }
    }
}
