//! The terminal: lines to stdout and stderr that never panic, and the use of colours.
//!
//! A reader that goes away (`| head`) or a full disk behind stdout does not cause a panic.

use std::io::{BufRead, IsTerminal, Read, Write};

use serde_json::{Map, Value};

/// The limit of an answer that a person types.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Prints data: one line to stdout.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()).is_err() {
        tracing::trace!("stdout is closed");
    }
}

/// Prints a message: one line to stderr.
pub(crate) fn tell(line: impl AsRef<str>) {
    let mut err = std::io::stderr().lock();
    if writeln!(err, "{}", line.as_ref()).is_err() {
        tracing::trace!("stderr is closed");
    }
}

/// Writes data as it is: bytes to stdout.
pub(crate) fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        tracing::trace!("stdout is closed");
    }
}

/// Prints data for programs: one line of JSON to stdout. Characters that a terminal may obey are escaped in it.
pub(crate) fn say_json(value: &Value) {
    // Outside of strings JSON has no such characters, and inside this is their escape.
    let escaped =
        |letter: char| if is_obeyed(letter) { format!("\\u{:04x}", u32::from(letter)) } else { letter.into() };
    let line: String = value.to_string().chars().map(escaped).collect();
    say(line);
}

/// Prints a message that the next one replaces, on a terminal only.
pub(crate) fn progress(line: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() && write!(err, "\r{line:<100}\r").and_then(|()| err.flush()).is_err() {
        tracing::trace!("stderr is closed");
    }
}

/// Asks the person at the terminal; `None` without a terminal.
pub(crate) fn ask(question: &str) -> Option<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} ").and_then(|()| err.flush()).ok()?;
    let mut line = String::new();
    stdin.lock().take(ANSWER_BYTES_MAX).read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

/// Returns whether `out` is a terminal that wants colours (<https://no-color.org>).
pub(crate) fn wants_color(out: &impl IsTerminal) -> bool {
    out.is_terminal() && super::load::environment("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns whether a terminal obeys a character instead of showing it: control characters, and those that turn the
/// direction of writing.
pub(crate) fn is_obeyed(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a stranger's text for a terminal: control characters are shown, not obeyed.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns a stranger's text of several lines for a terminal: line ends and tabs stay.
pub(crate) fn harmless_lines(text: &str) -> String {
    let plain = |c: char| if is_obeyed(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

/// Returns JSON of strangers with every text in it made harmless. `null` members are left out.
pub(crate) fn harmless_json(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(harmless(text)),
        Value::Array(list) => Value::Array(list.iter().map(harmless_json).collect()),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (harmless(name), harmless_json(value))).collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_strangers_can_command_a_terminal() {
        let evil = json!({"a\u{1b}": ["\u{1b}[2J\n", null, {"b": "\u{9b}x", "c": null}]});
        assert_eq!(harmless_json(&evil), json!({"a\u{fffd}": ["\u{fffd}[2J\u{fffd}", null, {"b": "\u{fffd}x"}]}));
        assert_eq!(harmless_lines("a\n\tb\r\u{202e}"), "a\n\tb\u{fffd}\u{fffd}");
    }
}
