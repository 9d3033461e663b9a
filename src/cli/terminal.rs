//! The terminal: lines to stdout and stderr that never panic, and whether colours are wanted.
//!
//! A reader that goes away (`| head`) or a full disk behind stdout is no reason for a panic.

use std::io::{IsTerminal, Write};

/// Data: one line to stdout.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()).is_err() {
        tracing::trace!("stdout is closed");
    }
}

/// Talk: one line to stderr.
pub(crate) fn tell(line: impl AsRef<str>) {
    let mut err = std::io::stderr().lock();
    if writeln!(err, "{}", line.as_ref()).is_err() {
        tracing::trace!("stderr is closed");
    }
}

/// Whether `out` is a terminal that wants colours (<https://no-color.org>).
pub(crate) fn wants_color(out: &impl IsTerminal) -> bool {
    out.is_terminal() && super::load::environment("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text of strangers on a terminal: control characters are shown, not obeyed.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
