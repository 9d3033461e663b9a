//! JSON with line breaks and indents, without a change to any of its tokens.
//!
//! Numbers, doubles included, keep their digits, and keys their order: only the white space of the stored text changes.

use serde::de::IgnoredAny;

/// The limit of indents: deeper levels are not indented further, so that a small body cannot become large.
const INDENTED_MAX: usize = 16;

/// Returns the text with line breaks and indents; `None` when it is no JSON.
pub(super) fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_string {
            in_string = is_escaped || letter != '"';
            is_escaped = letter == '\\' && !is_escaped;
            out.push(letter);
            continue;
        }
        match letter {
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    turn(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                turn(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                turn(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                in_string = true;
                out.push(letter);
            }
            _ if letter.is_ascii_whitespace() => {}
            _ => out.push(letter),
        }
    }
    Some(out)
}

/// Begins the next line.
fn turn(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(INDENTED_MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        let text = r#" {"b":1.10,"a":[ ],"a":{"x\"{":"y, \\"},"n":[1,-2e5,null]} "#;
        let wanted = "{\n  \"b\": 1.10,\n  \"a\": [],\n  \"a\": {\n    \"x\\\"{\": \"y, \\\\\"\n  },\n  \"n\": [\n    1,\n    -2e5,\n    null\n  ]\n}";
        assert_eq!(pretty(text).as_deref(), Some(wanted));
        assert_eq!(pretty("12345678901234567890123").as_deref(), Some("12345678901234567890123"));
        assert_eq!(pretty("{} x"), None);
        assert_eq!(pretty(""), None);
    }

    #[test]
    fn deep_json_does_not_grow_without_bound() {
        let text = format!("{}{}{}", "[".repeat(100), "1,".repeat(999) + "1", "]".repeat(100));
        assert!(pretty(&text).unwrap().len() < text.len() * 20);
    }
}
