//! The reasons why a body is refused as JSON, each with its place.
//!
//! The texts name the kind and the place, never the content. Only the pointer of a duplicate key holds names from
//! the body, cut to [`POINTER_BYTES_MAX`]; it is for the operator, not for the answer.

use std::fmt;

/// The message of our readers for a number out of range, in the words of serde_json.
pub(super) const OUT_OF_RANGE: &str = "number out of range";

/// A place in the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyPosition {
    /// Offset from the start, in bytes.
    pub byte: usize,
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
}

/// The reason why a body is not sound JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes are not UTF-8.
    NotUtf8 {
        /// First bad byte.
        at: BodyPosition,
    },
    /// The body ends inside a value, or is empty.
    Truncated {
        /// The end of the body.
        at: BodyPosition,
    },
    /// The grammar is broken.
    Syntax {
        /// The place.
        at: BodyPosition,
    },
    /// Arrays and objects are nested deeper than `DEPTH_MAX`.
    TooDeep {
        /// The bracket too many.
        at: BodyPosition,
    },
    /// A number fits no 64-bit float, or is longer than `NUMBER_BYTES_MAX`.
    NumberOutOfRange {
        /// The place.
        at: BodyPosition,
    },
    /// An escape names half a surrogate pair.
    LoneSurrogate {
        /// The place.
        at: BodyPosition,
    },
    /// An object has the same key twice.
    DuplicateKey {
        /// End of the second key.
        at: BodyPosition,
        /// The pointer to the second key.
        pointer: String,
    },
    /// Something follows the value.
    TrailingData {
        /// The first byte behind the value.
        at: BodyPosition,
    },
}

impl Malformed {
    /// Returns the place at which the problem was found.
    pub fn at(&self) -> BodyPosition {
        match self {
            Self::NotUtf8 { at }
            | Self::Truncated { at }
            | Self::Syntax { at }
            | Self::TooDeep { at }
            | Self::NumberOutOfRange { at }
            | Self::LoneSurrogate { at }
            | Self::DuplicateKey { at, pointer: _ }
            | Self::TrailingData { at } => *at,
        }
    }

    /// Moves the place behind `bytes` that stand before the text that was read.
    pub(super) fn behind(mut self, bytes: usize) -> Self {
        match &mut self {
            Self::NotUtf8 { at }
            | Self::Truncated { at }
            | Self::Syntax { at }
            | Self::TooDeep { at }
            | Self::NumberOutOfRange { at }
            | Self::LoneSurrogate { at }
            | Self::DuplicateKey { at, pointer: _ }
            | Self::TrailingData { at } => {
                at.byte += bytes;
                at.column += if at.line == 1 { bytes } else { 0 };
            }
        }
        self
    }

    /// Makes the problem of an error by the error's text, because serde_json keeps its codes private; a test pins each
    /// text.
    pub(super) fn of(error: &serde_json::Error, body: &str, trail: Trail) -> Self {
        let at = BodyPosition::of_line(body, error.line(), error.column());
        if let Some(pointer) = trail.into_pointer() {
            return Self::DuplicateKey { at, pointer };
        }
        if error.is_eof() {
            return Self::Truncated { at };
        }
        let text = error.to_string();
        let says = |start: &str| text.starts_with(start);
        if says("recursion limit exceeded") {
            Self::TooDeep { at }
        } else if says(OUT_OF_RANGE) {
            Self::NumberOutOfRange { at }
        } else if says("lone leading surrogate") || says("unexpected end of hex escape") {
            Self::LoneSurrogate { at }
        } else if says("trailing characters") {
            Self::TrailingData { at }
        } else {
            Self::Syntax { at }
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BodyPosition { byte, line, column } = self.at();
        match self {
            Self::NotUtf8 { at: _ } => f.write_str("the body is not UTF-8")?,
            Self::Truncated { at: _ } => f.write_str("the body ends inside a JSON value")?,
            Self::Syntax { at: _ } => f.write_str("the body is not JSON")?,
            Self::TooDeep { at: _ } => write!(f, "the body is nested deeper than {}", super::DEPTH_MAX)?,
            Self::NumberOutOfRange { at: _ } => f.write_str("a number is out of range")?,
            Self::LoneSurrogate { at: _ } => f.write_str("an escape names half a surrogate pair")?,
            Self::DuplicateKey { at: _, pointer } => write!(f, "the key {pointer} is there twice")?,
            Self::TrailingData { at: _ } => f.write_str("something follows the JSON value")?,
        }
        write!(f, " (byte {byte}, line {line}, column {column})")
    }
}

impl std::error::Error for Malformed {}

impl BodyPosition {
    pub(super) fn of(body: &[u8], byte: usize) -> Self {
        let before = body.get(..byte).unwrap_or(body);
        let lines = before.split(|&letter| letter == b'\n');
        let last = lines.clone().next_back().unwrap_or_default();
        Self { byte, line: lines.count(), column: last.len() + 1 }
    }

    fn of_line(body: &str, line: usize, column: usize) -> Self {
        let line_start: usize = body.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        Self { byte: (line_start + column.saturating_sub(1)).min(body.len()), line, column }
    }
}

/// The longest pointer, in bytes; a longer one is cut, because its names come from a stranger.
const POINTER_BYTES_MAX: usize = 256;

/// The path to a duplicate key, gathered from the inside out while the error travels up; empty otherwise.
#[derive(Debug, Default)]
pub(super) struct Trail {
    inside_out: Vec<String>,
}

impl Trail {
    pub(super) fn begin(&mut self, key: &str) {
        self.inside_out.push(super::pointer::escaped(key));
    }

    pub(super) fn climb_key(&mut self, key: &str) {
        if !self.inside_out.is_empty() {
            self.inside_out.push(super::pointer::escaped(key));
        }
    }

    pub(super) fn climb_index(&mut self, index: usize) {
        if !self.inside_out.is_empty() {
            self.inside_out.push(index.to_string());
        }
    }

    fn into_pointer(self) -> Option<String> {
        let mut pointer: String = self.inside_out.iter().rev().flat_map(|token| ["/", token]).collect();
        if pointer.len() > POINTER_BYTES_MAX {
            pointer.truncate(pointer.floor_char_boundary(POINTER_BYTES_MAX));
            pointer.push('…');
        }
        (!pointer.is_empty()).then_some(pointer)
    }
}
