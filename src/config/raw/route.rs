//! `routes`: the rules that send events from sources to destinations.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// A rule that sends events from sources to destinations. Every route that matches gets its own copy.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The source, or a list of sources.
    pub from: OneOrMany,
    /// Globs of event types, such as `invoice.*`. Default: all events.
    pub events: Option<Vec<String>>,
    /// A CEL condition over `body`, `headers`, `event`, `query` and others. The route takes the events for which the
    /// condition is true.
    pub when: Option<String>,
    /// The destination, or a list of destinations.
    pub to: OneOrMany,
    /// The order key, in CEL. Events with the same key are delivered in the order in which they came. Default: no
    /// order.
    pub order_by: Option<String>,
    /// The handling of an event that no other route takes, when this route fails on it with an error: in `when`, in
    /// `order_by`, in the key of a destination's `balance`, or because the event's type or id is needed and cannot be
    /// read. `quarantine` keeps the event with the error until the rule is corrected. `no_match` treats the error as a
    /// condition that is false, and drops the event. Default: quarantine.
    pub on_error: Option<OnError>,
    /// The changes to events before they are sent. Default: none; the body goes as it came, byte for byte.
    pub transform: Option<Transform>,
}

/// The handling of an event on which a route fails with an error, and which no other route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The event is kept with the error as its problem. `hookgate quarantine judge` delivers it after the rule is
    /// corrected.
    Quarantine,
    /// The error counts as a condition that is false.
    NoMatch,
}

/// The changes to events before they are sent. The body comes from `body` or `js`, or is the one that came; then `set`,
/// `remove` and `headers` apply in this order. The stored event stays as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// The new body, in CEL: a map literal such as `{"text": body.name}`, or any other value.
    pub body: Option<String>,
    /// A file with a script whose default export is a function. The function gets the event, and the `body` of its
    /// result is sent. It may take at most 50 ms and 16 MiB.
    pub js: Option<PathBuf>,
    /// The handling of numbers that JavaScript cannot hold, such as integers beyond 2^53. `exact`: a script that reads
    /// such a number fails (`transform_failed`), and a number that it leaves in place keeps its digits. `lossy`: such
    /// numbers are rounded. Default: exact.
    pub numbers: Option<Numbers>,
    /// Places in the body and their new values, in CEL: `{status: '"new"', /customer/name: body.name}`. A place is a
    /// JSON pointer, or the name of a member of the top level.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Places that are removed from the body: `[/customer/email]`.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Headers that are set and removed.
    pub headers: Option<HeaderEdits>,
}

/// The handling of numbers that JavaScript cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// A script that reads such a number fails.
    Exact,
    /// Such numbers are rounded.
    Lossy,
}

/// Headers that are set and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Headers by name, with their values. A header that is there already is replaced.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Names of headers that are removed.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// One name, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrList;

        impl<'de> Visitor<'de> for NameOrList {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMany(names))
            }
        }

        deserializer.deserialize_any(NameOrList)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One name, or a list of names.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }],
        })
    }
}
