//! The pages of the documentation that come from the program: reference pages are generated and compared, and what a
//! page shows of a terminal is run and compared.
//!
//! `UPDATE=1 cargo test --test docs` writes reference pages anew.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and it lives in real time"
)]

mod commands;
mod examples;
mod keys;
mod log;
mod page;
mod providers;
mod session;
mod terminal;
mod yaml;

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the output of `hookgate` with these arguments.
fn hookgate(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    let output = command.env_clear().args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compares a generated page with the one in the project, or writes it when `UPDATE` is set.
#[track_caller]
fn is_current(path: &str, generated: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(path), generated).unwrap();
    }
    let current = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(current == generated, "{path} is stale: UPDATE=1 cargo test --test docs");
}

/// Text for a cell of a table: one line, with nothing that would end the cell, or begin a tag or emphasis.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let parts = text.split('`').enumerate();
    let is_code = |index: usize| index % 2 == 1;
    let plain = |part: &str| part.replace('<', "&lt;").replace('*', "\\*");
    let parts = parts.map(|(index, part)| if is_code(index) { part.to_owned() } else { plain(part) });
    parts.collect::<Vec<_>>().join("`")
}
