//! The front-end of the configuration file: texts → typed raw file, and all problems with their places.
//! `load::read` is the entry point. Each text is parsed once, into a tree in which every key and value knows its place
//! (`reader`, `parse`, `tree`). Variables are put in (`interpolate`), secrets written in plain are masked (`secrets`),
//! the trees of included files are joined (`include`, `union`), and serde types the result (`de`, `raw`). A node that
//! does not fit becomes a [`Problem`] and is dropped, and the rest is typed again: one run reports every problem.
//!
//! Invariants: no file, no clock and no environment is touched here (they are handed in); no input panics;
//! the value of a variable and the text of an inline secret never reach a message.
//!
//! References between entries (a route's `to`, a missing secret, CEL) are not checked here.

pub mod check;
pub mod files;
pub mod load;
pub mod problem;
pub mod raw;
pub mod render;
pub mod schema;
pub mod show;
pub mod spans;
pub mod units;

mod columns;
mod count;
mod de;
mod defaults;
mod explain;
mod fault;
mod include;
mod interpolate;
mod known;
mod merge;
mod parse;
mod providers;
mod reader;
mod secrets;
mod syntax;
mod tree;
mod union;

pub use files::{FileId, Files};
pub use include::IncludeFiles;
pub use known::nearest;
pub use load::{Loaded, document, read};
pub use problem::{Code, Problem, Second, Severity};
pub use providers::provider_meant;
pub use spans::{Position, Seg, Span, Spans, path};
