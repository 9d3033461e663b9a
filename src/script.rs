//! A stand-in until the engine is merged.
use std::fmt;
/// A script.
#[derive(Debug)]
pub struct Script;
/// Why a text is none.
#[derive(Debug)]
pub struct ScriptProblem;
/// Why a run failed.
#[derive(Debug)]
pub struct ScriptError;
impl fmt::Display for ScriptProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x")
    }
}
impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x")
    }
}
impl Script {
    /// Compiles.
    pub fn compile(_source: &str, _name: &str) -> Result<Self, ScriptProblem> {
        Ok(Self)
    }
    /// Runs.
    pub fn run(&self, event: &serde_json::Value) -> Result<serde_json::Value, ScriptError> {
        Ok(event.clone())
    }
}
