//! The value that a script threw, read with care: it can be anything, and its accessors are the script's code.

use rquickjs::convert::Coerced;
use rquickjs::{Ctx, Exception, Type};

use super::ScriptError;

/// The most characters of a thrown error's message.
const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Debug)]
pub(super) struct Thrown {
    /// The kind of error, for example `TypeError`; empty for a value that is no error.
    pub(super) name: String,
    pub(super) message: String,
    /// The line and column in the script.
    pub(super) place: Option<(u32, u32)>,
    nothing: bool,
}

impl Thrown {
    /// Takes the thrown value; `script` is the name of the script in stack traces.
    pub(super) fn caught(ctx: &Ctx<'_>, script: &str) -> Self {
        let thrown = ctx.catch();
        if let Some(error) = thrown.as_object().cloned().and_then(Exception::from_object) {
            let name = error.get::<_, Coerced<String>>("name").map_or_else(|_| "Error".to_owned(), |name| name.0);
            let place = error.stack().and_then(|stack| place_in(&stack, script));
            // A throwing accessor has left its own error behind.
            let message = error.message().unwrap_or_default();
            drop(ctx.catch());
            return Self { name: brief(&name), message: brief(&message), place, nothing: false };
        }
        let message = match thrown.as_string().map(rquickjs::String::to_string) {
            Some(Ok(text)) => brief(&text),
            _ => format!("{} that is no error", thrown.type_name()),
        };
        Self {
            name: String::new(),
            message,
            place: None,
            nothing: matches!(thrown.type_of(), Type::Null | Type::Uninitialized),
        }
    }

    /// Builds an error with a message of our own.
    pub(super) fn plain(message: &str) -> Self {
        Self { name: String::new(), message: brief(message), place: None, nothing: false }
    }
}

impl From<Thrown> for ScriptError {
    fn from(thrown: Thrown) -> Self {
        match (thrown.name.as_str(), thrown.message.as_str()) {
            // An error has no message when its message no longer fitted into the memory.
            ("InternalError", "" | "string too long") => Self::OutOfMemory,
            ("InternalError", message) if message.starts_with("out of memory") => Self::OutOfMemory,
            // The engine throws null when not even an error fits into the memory. A script that throws null is rarer.
            _ if thrown.nothing => Self::OutOfMemory,
            ("RangeError", "Maximum call stack size exceeded") => Self::StackOverflow,
            (name, message) => {
                let message = if name.is_empty() { message.to_owned() } else { format!("{name}: {message}") };
                Self::Threw { message, line: thrown.place.map(|(line, _)| line) }
            }
        }
    }
}

fn brief(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// The innermost place of the script in a stack trace: `at name (script.js:3:7)`.
pub(super) fn place_in(stack: &str, script: &str) -> Option<(u32, u32)> {
    let (_, after) = stack.split_once(&format!("{script}:"))?;
    let mut numbers = after.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
