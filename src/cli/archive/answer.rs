//! The last answer of a service, as the gateway kept it, shown to people: as lines below a delivery, or on one line of
//! a table.

use serde_json::Value;

use super::{json, pretty, table};
use crate::cli::terminal;

/// The limit of lines; `--format json` has all.
const LINES_MAX: usize = 20;
/// The limit of characters of a body in a table.
const SHORT_CHARS_MAX: usize = 80;

/// Returns the lines below a delivery.
pub(super) fn lines(answer: &Value) -> Vec<String> {
    if answer.is_null() {
        return Vec::new();
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(terminal::harmless);
    let status = answer.get("status").and_then(Value::as_u64).unwrap_or_default();
    let about: Vec<String> = ["content_type", "content_encoding"].into_iter().filter_map(text).collect();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let is_whole = answer.get("whole").and_then(Value::as_bool).unwrap_or(true);
    let extent = if is_whole { "" } else { "; it began" };
    let head = format!("    answered {status}{about} at {}{extent}", text("at").unwrap_or_default());
    let body = match json::body(answer).map(String::from_utf8) {
        Some(Ok(body)) if body.is_empty() => return vec![format!("{head}, with an empty body")],
        Some(Ok(body)) => terminal::harmless_lines(&pretty::pretty(&body).unwrap_or(body)),
        Some(Err(binary)) => {
            return vec![format!("{head}: {} bytes that are no text", binary.as_bytes().len())];
        }
        None => return vec![head],
    };
    let mut lines = vec![format!("{head}:")];
    lines.extend(body.lines().take(LINES_MAX).map(|line| format!("      {line}")));
    let more = body.lines().count().saturating_sub(LINES_MAX);
    lines.extend((more > 0).then(|| format!("      … {more} lines more; --format json has all")));
    lines
}

/// Returns the beginning of the body on one line; `None` where there is no text.
pub(super) fn short(answer: &Value) -> Option<String> {
    let body = String::from_utf8(json::body(answer)?).ok()?;
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| table::cut(&terminal::harmless(&line), SHORT_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_shown_in_lines_that_command_no_terminal() {
        let at = "2026-11-21T09:16:30.200Z";
        let answer = json!({"at": at, "status": 500, "content_type": "text/plain", "whole": false, "body": {"text": "a\u{1b}[31m\nb"}});
        let wanted = [
            format!("    answered 500 (text/plain) at {at}; it began:"),
            "      a\u{fffd}[31m".to_owned(),
            "      b".to_owned(),
        ];
        assert_eq!(lines(&answer), wanted);
        assert_eq!(short(&answer).as_deref(), Some("a\u{fffd}[31m b"));
        assert_eq!(lines(&json!(null)), Vec::<String>::new());
    }

    #[test]
    fn an_answer_without_text_is_named() {
        let at = "2026-11-21T09:16:30.200Z";
        let empty = json!({"at": at, "status": 503, "whole": true, "body": {"text": ""}});
        assert_eq!(lines(&empty), [format!("    answered 503 at {at}, with an empty body")]);
        let bytes = json!({"at": at, "status": 500, "content_encoding": "gzip", "body": {"base64": "H4sIAA=="}});
        assert_eq!(lines(&bytes), [format!("    answered 500 (gzip) at {at}: 4 bytes that are no text")]);
        assert_eq!((short(&empty), short(&bytes)), (None, None));
    }
}
