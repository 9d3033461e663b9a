//! Transforms in JavaScript: `export default (event) => event`, JSON in and JSON out.
//!
//! A script is its operator's, what it reads is a stranger's. It has [`CPU_TIME_MAX`] of CPU time, [`MEMORY_BYTES_MAX`]
//! of memory and [`STACK_BYTES_MAX`] of stack, and nothing to reach the world with: no imports, no I/O, no timers, no
//! `eval`. Every run has an engine of its own, so that no event leaves anything behind for the next.
//!
//! CPU time and not time on the wall: on a busy machine a script that waits for its turn has done nothing wrong.
//!
//! The engine looks at the clock between its own steps, also within regular expressions. A single built-in call over
//! much data is one step: `guard.js` refuses those that a sender's data could make long, and what is left overruns the
//! limit by some tenths of a second at most (a number of 300,000 digits). That is no fence against the script's own
//! author: `new Set(new Array(4294967295))` computes for minutes. [`Script::run`] computes all the time, so it is called
//! off the async threads, and few at once.
//!
//! The result is written as `JSON.stringify` writes it: what is undefined or a function is left out of objects, dates are
//! texts, NaN is null. Numbers are those of JavaScript; what a script leaves alone keeps its digits (`numbers.rs`).

mod numbers;
mod problem;
mod sandbox;
mod thrown;

use std::time::Duration;

use serde_json::Value;

pub use numbers::Numbers;
pub use problem::{ScriptError, ScriptProblem};

use sandbox::Limits;

/// Longest source.
pub const SOURCE_BYTES_MAX: usize = 256 << 10;
/// For reading the source, the call, and writing its result.
pub const CPU_TIME_MAX: Duration = Duration::from_millis(50);
/// All that the engine holds at once, the event included.
pub const MEMORY_BYTES_MAX: usize = 16 << 20;
/// Of the thread that runs the script.
pub const STACK_BYTES_MAX: usize = 256 << 10;
/// Longest result, as JSON.
pub const RESULT_BYTES_MAX: usize = 4 << 20;

const LIMITS: Limits = Limits { cpu_time: CPU_TIME_MAX, memory_bytes: MEMORY_BYTES_MAX };

/// A script that was read once and has a default export that is a function.
#[derive(Debug)]
pub struct Script {
    name: String,
    source: String,
}

impl Script {
    /// Reads `source`; `name` is what errors call it.
    pub fn compile(source: &str, name: &str) -> Result<Self, ScriptProblem> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ScriptProblem::TooLong { bytes: source.len() });
        }
        let script = Self { name: name.replace('\0', ""), source: source.to_owned() };
        sandbox::read(&script, LIMITS)?;
        Ok(script)
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the script makes of `event`.
    pub fn run(&self, event: &Value, numbers: Numbers) -> Result<Value, ScriptError> {
        sandbox::run(self, event, numbers, LIMITS)
    }
}

#[cfg(test)]
mod tests;
