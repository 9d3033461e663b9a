//! Requests that a provider sends to see whether anyone is there, and the exact reply that it wants.
//!
//! Declarative, for what shipped rows need: a JSON body that looks a certain way, answered by fixed members and by
//! members copied from it. Only a verified message is answered, so that nobody can make the gateway repeat a text of
//! theirs; replies are JSON or empty, never HTML. Handshakes of other kinds (query echo, captured secrets) are not here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The longest text that is copied into a reply.
const COPIED_BYTES_MAX: usize = 4096;

/// When a verified message is a handshake, and what it is answered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// JSON pointers and the values that they must have.
    when: BTreeMap<String, Value>,
    /// JSON pointers that must lead nowhere.
    #[serde(default)]
    absent: Vec<String>,
    reply: ReplyForm,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReplyForm {
    #[serde(default = "ok")]
    status: u16,
    /// Members of the reply, as they are.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Members of the reply, by the JSON pointer of the text that they are copied from.
    #[serde(default)]
    copy: BTreeMap<String, String>,
}

const fn ok() -> u16 {
    200
}

/// What a handshake is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeReply {
    /// The status.
    pub status: u16,
    /// The media type; `None` for an empty body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Handshake {
    /// The reply to a verified message, when it is a handshake.
    pub fn reply(&self, json: &Value) -> Option<HandshakeReply> {
        let alike = self.when.iter().all(|(pointer, value)| json.pointer(pointer) == Some(value));
        if !alike || self.absent.iter().any(|pointer| json.pointer(pointer).is_some()) {
            return None;
        }
        let ReplyForm { status, json: fixed, copy } = &self.reply;
        let mut members = fixed.clone();
        for (name, pointer) in copy {
            let text = json.pointer(pointer)?.as_str().filter(|text| text.len() <= COPIED_BYTES_MAX)?;
            members.insert(name.clone(), Value::from(text));
        }
        if members.is_empty() {
            return Some(HandshakeReply { status: *status, content_type: None, body: Vec::new() });
        }
        let body = serde_json::to_vec(&members).ok()?;
        Some(HandshakeReply { status: *status, content_type: Some("application/json"), body })
    }
}
