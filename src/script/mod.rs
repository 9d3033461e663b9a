//! Transforms in JavaScript: `export default (event) => event`, JSON in and JSON out.
//!
//! A script is its operator's, its input is a stranger's. It has [`CPU_TIME_MAX`] of CPU time, [`MEMORY_BYTES_MAX`] of
//! memory and [`STACK_BYTES_MAX`] of stack, and no access to the outside: no imports, no I/O, no timers, no `eval`.
//! Every run has an engine of its own, so that no event leaves any state for the next.
//!
//! The limit counts CPU time and not wall time: on a busy machine a script that waits for its turn is not slow.
//!
//! The engine checks the clock between its own steps, also within regular expressions. A single built-in call over much
//! data is one step. `guard.js` refuses those calls that a sender's data could make long, and the others overrun the
//! limit by some tenths of a second at most (a number of 300,000 digits). That is no fence against the script's own
//! author: `new Set(new Array(4294967295))` computes for minutes. [`Script::run`] computes without a wait, so it is
//! called off the async threads, and few at once.
//!
//! The result is written as `JSON.stringify` writes it: undefined values and functions are left out of objects, dates
//! are texts, NaN is null. Numbers are those of JavaScript; a number that a script leaves alone keeps its digits
//! (`numbers.rs`).

mod numbers;
mod problem;
mod sandbox;
mod thrown;

use std::time::Duration;

use serde_json::Value;

pub use numbers::LossyNumbers;
pub use problem::{ScriptError, ScriptProblem};

use sandbox::Limits;

/// The longest source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256 << 10;
/// The CPU time for reading the source, the call, and writing its result.
pub const CPU_TIME_MAX: Duration = Duration::from_millis(50);
/// The memory of the engine at once, the event included, in bytes.
pub const MEMORY_BYTES_MAX: usize = 16 << 20;
/// The stack of the thread that runs the script, in bytes.
pub const STACK_BYTES_MAX: usize = 256 << 10;
/// The longest result as JSON, in bytes.
pub const RESULT_BYTES_MAX: usize = 4 << 20;

const LIMITS: Limits = Limits { cpu_time: CPU_TIME_MAX, memory_bytes: MEMORY_BYTES_MAX };

/// A checked script whose default export is a function.
#[derive(Debug)]
pub struct Script {
    name: String,
    source: String,
}

impl Script {
    /// Reads `source`; errors use `name` for the script.
    pub fn compile(source: &str, name: &str) -> Result<Self, ScriptProblem> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ScriptProblem::TooLong { bytes: source.len() });
        }
        let script = Self { name: name.replace('\0', ""), source: source.to_owned() };
        sandbox::read(&script, LIMITS)?;
        Ok(script)
    }

    /// Returns the name that errors use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the script over `event` and returns its result.
    pub fn run(&self, event: &Value, numbers: LossyNumbers) -> Result<Value, ScriptError> {
        sandbox::run(self, event, numbers, LIMITS)
    }
}

#[cfg(test)]
mod tests;
