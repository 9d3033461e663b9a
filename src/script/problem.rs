//! The problems of a script when it is read, and the errors of its run.

use std::fmt;

use super::{CPU_TIME_MAX, MEMORY_BYTES_MAX, RESULT_BYTES_MAX, SOURCE_BYTES_MAX};

/// The reason why a script cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptProblem {
    /// The source is longer than `SOURCE_BYTES_MAX`.
    TooLong {
        /// The length of the source.
        bytes: usize,
    },
    /// The source is not JavaScript.
    Syntax {
        /// The line, counted from 1.
        line: u32,
        /// The column, counted from 1.
        column: u32,
        /// The engine's message.
        message: String,
    },
    /// The default export is missing or no function.
    NoFunction,
    /// The default export is `async` or a generator.
    NotPlainFunction,
    /// The script waits at its top level, without anything to wait for.
    Waits,
    /// The script failed before its function was called.
    Failed(ScriptError),
}

impl fmt::Display for ScriptProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "a script has at most {} KiB, this one has {bytes} bytes", SOURCE_BYTES_MAX >> 10)
            }
            Self::Syntax { line, column, message } => write!(f, "line {line}, column {column}: {message}"),
            Self::NoFunction => f.write_str("it exports no function; write `export default (event) => event`"),
            Self::NotPlainFunction => f.write_str(
                "its function is async or a generator; a transform gives its result at once: remove `async` or `*`",
            ),
            Self::Waits => f.write_str("it waits at its top level, and there is nothing to wait for; remove `await`"),
            Self::Failed(error) => write!(f, "it fails before its function is called: {error}"),
        }
    }
}

impl std::error::Error for ScriptProblem {}

/// The reason why a run gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// The script took more than `CPU_TIME_MAX`.
    Timeout,
    /// The script asked for more than `MEMORY_BYTES_MAX`.
    OutOfMemory,
    /// The script's calls are nested deeper than `STACK_BYTES_MAX` allows.
    StackOverflow,
    /// The script threw an error that it did not catch.
    Threw {
        /// The thrown error as text.
        message: String,
        /// The line of the script, where it is known; counted from 1.
        line: Option<u32>,
    },
    /// The script read a number that JavaScript cannot hold.
    LongNumber {
        /// The JSON pointer to the number in the script's input.
        pointer: String,
        /// The line of the script, where it is known; counted from 1.
        line: Option<u32>,
    },
    /// The result is not JSON.
    NotJson {
        /// The kind of the result.
        what: &'static str,
    },
    /// The result is longer than `RESULT_BYTES_MAX` or nested deeper than 127.
    TooLarge,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => write!(f, "the script took more than {} ms", CPU_TIME_MAX.as_millis()),
            Self::OutOfMemory => write!(f, "the script asked for more than {} MiB", MEMORY_BYTES_MAX >> 20),
            Self::StackOverflow => f.write_str("the script's calls are nested too deep"),
            Self::Threw { message, line: Some(line) } => write!(f, "the script threw in line {line}: {message}"),
            Self::Threw { message, line: None } => write!(f, "the script threw: {message}"),
            Self::LongNumber { pointer, line } => {
                match line {
                    Some(line) => write!(f, "the script reads in line {line} the number at {pointer}")?,
                    None => write!(f, "the script reads the number at {pointer}")?,
                }
                f.write_str(
                    ", which has more digits than JavaScript holds; leave it where it is, or let it be rounded: `numbers: lossy`",
                )
            }
            Self::NotJson { what } => write!(f, "the script returned {what}, which is not JSON"),
            Self::TooLarge => {
                write!(f, "the script's result is larger than {} MiB or nested deeper than 127", RESULT_BYTES_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for ScriptError {}
