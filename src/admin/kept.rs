//! A service's kept answer as JSON, redacted like a body.
//!
//! A service may repeat what it was sent, and under other names. Credentials are looked for in the answer, also where it was
//! cut in one. Where places of bodies are named, an answer is shown
//! only when it is JSON, whole, and repeats none of the values that are hidden of the event; a JSON answer has the same
//! places hidden.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::hidden;
use crate::buffer::KeptAnswer;
use crate::clock::Timestamp;
use crate::credential::REDACTED;
use crate::event::EventData;
use crate::payload::Payload;
use crate::redact::Redaction;

/// The length from which a hidden value is searched for; shorter ones match by chance.
const VALUE_CHARS_MIN: usize = 3;
/// The number of hidden values above which no answer is shown.
const VALUES_MAX: usize = 1000;

/// Returns the kept answer to a delivery of `event`.
pub(super) fn answer(kept: &KeptAnswer, event: Option<&EventData>, redaction: &Redaction) -> Value {
    let header = |name: &str, value: &Option<String>| {
        value.as_ref().map(|value| if redaction.hides_header(name) { REDACTED.to_owned() } else { value.clone() })
    };
    json!({
        "at": Timestamp::from_unix_ms(kept.at_ms).to_string(),
        "status": kept.status,
        "content_type": header("content-type", &kept.content_type),
        "content_encoding": header("content-encoding", &kept.content_encoding),
        "bytes": kept.body().len(),
        "whole": kept.is_whole,
        "body": body(kept, event, redaction),
    })
}

fn body(kept: &KeptAnswer, event: Option<&EventData>, redaction: &Redaction) -> Value {
    let bytes = kept.body();
    if bytes.is_empty() {
        return json!({ "text": "" });
    }
    if redaction.touches_bodies() {
        let text = redacted(kept, event, redaction).unwrap_or_else(|| REDACTED.to_owned());
        return json!({ "text": text });
    }
    let credentials = event.map(|event| hidden::credentials_of(event, redaction)).unwrap_or_default();
    match text_of(bytes, kept.is_whole).map(str::to_owned) {
        Some(mut text) if !kept.is_whole => {
            credentials.hide_in_cut(&mut text);
            json!({ "text": text })
        }
        Some(text) => json!({ "text": text }),
        None if credentials.stand_in(bytes) => json!({ "text": REDACTED }),
        None => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// Returns the bytes as text; a character that was cut at the end of a partial body is left out.
fn text_of(bytes: &[u8], is_whole: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if !is_whole && error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    }
}

/// Returns an answer with its hidden places redacted; `None` when no part of it may be shown.
fn redacted(kept: &KeptAnswer, event: Option<&EventData>, redaction: &Redaction) -> Option<String> {
    if !redaction.shows_bodies() || !kept.is_whole {
        return None;
    }
    let mut answer = Payload::lenient(kept.body())?;
    let sent: Value = serde_json::from_slice(&event?.body).ok()?;
    let mut shown = sent.clone();
    redaction.apply(&mut shown);
    let mut hidden = Vec::new();
    differing(&sent, &shown, &mut hidden);
    redaction.apply(&mut answer);
    // Compared as serde_json reads numbers: each exponent is written in one way.
    let compared: Value = serde_json::from_str(&answer.to_string()).ok()?;
    let is_told = hidden.len() > VALUES_MAX || repeats(&compared, &hidden);
    (!is_told).then(|| answer.to_string())
}

/// Collects the texts and numbers of `sent` that differ in `shown`.
fn differing(sent: &Value, shown: &Value, found: &mut Vec<String>) {
    match (sent, shown) {
        (Value::Object(sent), Value::Object(shown)) => {
            sent.iter().for_each(|(name, value)| differing(value, shown.get(name).unwrap_or(&Value::Null), found));
        }
        (Value::Array(sent), Value::Array(shown)) => {
            sent.iter().zip(shown).for_each(|(sent, shown)| differing(sent, shown, found));
        }
        (Value::Object(members), _) => members.values().for_each(|value| differing(value, &Value::Null, found)),
        (Value::Array(items), _) => items.iter().for_each(|value| differing(value, &Value::Null, found)),
        _ if sent == shown => {}
        (Value::String(text), _) if text.chars().count() >= VALUE_CHARS_MIN => found.push(text.clone()),
        (Value::Number(number), _) if number.to_string().len() >= VALUE_CHARS_MIN => found.push(number.to_string()),
        _ => {}
    }
}

fn repeats(answer: &Value, hidden: &[String]) -> bool {
    let holds = |text: &str| hidden.iter().any(|value| text.contains(value.as_str()));
    match answer {
        Value::Object(members) => members.iter().any(|(name, value)| holds(name) || repeats(value, hidden)),
        Value::Array(items) => items.iter().any(|item| repeats(item, hidden)),
        Value::String(text) => holds(text),
        Value::Number(number) => holds(&number.to_string()),
        Value::Null | Value::Bool(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn shown(answer: &'static [u8], is_whole: bool) -> Value {
        let kept = KeptAnswer::new((500, Timestamp::from_unix_ms(0)), (&Bytes::from_static(answer), is_whole), 1024);
        body(&kept, None, &Redaction::default())
    }

    #[test]
    fn bytes_that_are_no_text_are_base64_and_a_cut_character_is_left_out() {
        assert_eq!(shown(b"\xff\x00", true), json!({ "base64": "/wA=" }));
        assert_eq!(shown("ab\u{e9}".as_bytes(), true), json!({ "text": "ab\u{e9}" }));
        assert_eq!(shown(b"ab\xc3", false), json!({ "text": "ab" }));
        assert_eq!(shown(b"ab\xc3", true), json!({ "base64": "YWLD" }));
        assert_eq!(shown(b"", true), json!({ "text": "" }));
    }

    #[test]
    fn the_values_that_are_hidden_are_found_wherever_an_answer_repeats_them() {
        let sent = json!({"email": "a@b.c", "card": {"number": 4242, "cvc": 1}, "id": "e1"});
        let mut shown = sent.clone();
        let mut redaction = Redaction::default();
        redaction.add("/email").unwrap();
        redaction.add("/card").unwrap();
        redaction.apply(&mut shown);
        let mut hidden = Vec::new();
        differing(&sent, &shown, &mut hidden);
        hidden.sort();
        assert_eq!(hidden, ["4242", "a@b.c"]);
        assert!(repeats(&json!({"error": ["no user a@b.c"]}), &hidden));
        assert!(repeats(&json!({"n": 4242}), &hidden) && repeats(&json!({"a@b.c": 1}), &hidden));
        assert!(!repeats(&json!({"id": "e1", "ok": true}), &hidden));
    }
}
