//! A file of cases: requests, and the expected results. `schemas/tests.schema.json` is made from these types.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::config::raw::Moment;
use crate::refusal::RequestOutcome;

/// Cases over one configuration. They run on the real gates under a frozen clock; nothing is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The configuration, relative to this file. Default: what `--config` says, or `routes.yaml`.
    pub(super) config: Option<PathBuf>,
    /// Variables of the environment, over the real ones. A secret that is not here is replaced, so cases need none.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// The time at which the clock stands. Default: 2026-01-01T12:00:00Z.
    pub(super) now: Option<Moment>,
    /// The cases.
    pub(super) tests: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// A sentence that says what holds.
    pub(super) name: String,
    /// The request.
    pub(super) given: Given,
    /// What must come of it; only what is named is looked at. `hookgate test --update` writes it.
    #[serde(default)]
    pub(super) expect: Expect,
}

/// A request, as the provider would send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    /// The source that is called.
    pub(super) source: String,
    /// The event's type, for the header in which some providers say it. A recorded event of this type is the body when
    /// there is no other.
    pub(super) event: Option<String>,
    /// A file with the body, relative to this one.
    pub(super) file: Option<PathBuf>,
    /// The body, as JSON.
    pub(super) body: Option<Value>,
    /// The fields of a form that is the body: text, or what is written into the field as JSON.
    #[serde(default)]
    pub(super) form: BTreeMap<String, Value>,
    /// Places in the body and what is put there: `{/data/object/amount_paid: 5}`.
    #[serde(default)]
    pub(super) set: BTreeMap<String, Value>,
    /// Places that are taken out of the body.
    #[serde(default)]
    pub(super) remove: Vec<String>,
    /// Headers over those that the provider sends; an empty one is not sent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Path and query. Default: the source's path.
    pub(super) target: Option<String>,
    /// Default: POST.
    pub(super) method: Option<String>,
    /// The sender's address. Default: one that the source lets in.
    pub(super) sender: Option<IpAddr>,
    /// The moment of receipt. Default: the file's `now`.
    pub(super) at: Option<Moment>,
    /// What is made wrong.
    pub(super) tamper: Option<Tamper>,
    /// `no`: the request has no signature. `skipped`: the signature is not looked at, for schemes whose private key is
    /// the provider's.
    pub(super) signed: Option<Signed>,
}

/// What is made wrong.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tamper {
    /// One letter of the body, after signing.
    Body,
    /// One character of the signature.
    Signature,
    /// Signed hours ago.
    Time,
}

/// Whether there is a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Signed {
    /// As the provider would.
    Yes,
    /// Not at all.
    No,
    /// It is not looked at.
    Skipped,
}

/// What must come of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// How the request ends: `accepted`, `filtered`, `quarantined`, `bad_signature` …
    #[serde(default, deserialize_with = "outcome_value")]
    pub(super) outcome: Option<RequestOutcome>,
    /// `verified`, or why not.
    pub(super) verdict: Option<String>,
    /// The event's type.
    pub(super) event_type: Option<String>,
    /// The routes that want it, in any order.
    pub(super) routes: Option<Vec<String>>,
    /// The destinations that get it, in any order.
    pub(super) destinations: Option<Vec<String>>,
    /// What is wrong with the payload: a JSON pointer each, or pointer, colon and a part of the message.
    pub(super) quarantine: Option<Vec<String>>,
    /// What destinations are sent.
    #[serde(default)]
    pub(super) outgoing: BTreeMap<String, Outgoing>,
}

/// What one destination is sent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Outgoing {
    /// The whole body: JSON, or text.
    pub(super) body: Option<Value>,
    /// Headers and their values; an empty value says that there is none.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// A part of the reason for which nothing can be sent.
    pub(super) error: Option<String>,
}

/// Reads an outcome as a value. The type itself reads a key, where another error would be reported.
fn outcome_value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<RequestOutcome>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let outcome = RequestOutcome::of_label(&text);
    outcome.map(Some).ok_or_else(|| serde::de::Error::unknown_variant(&text, &RequestOutcome::LABELS))
}
