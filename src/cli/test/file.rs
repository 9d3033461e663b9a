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
    /// The configuration, relative to this file. Default: the file of `--config`, or `routes.yaml`.
    pub(super) config: Option<PathBuf>,
    /// Environment variables, over the real ones. A secret that is not here is replaced, so cases need none.
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
    /// The name of the case: a sentence that states the rule.
    pub(super) name: String,
    /// The request.
    pub(super) given: Given,
    /// The expected result. Only the keys that are written are compared. `hookgate test --update` writes them.
    #[serde(default)]
    pub(super) expect: Expect,
}

/// A request, as the provider would send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    /// The source that is called.
    pub(super) source: String,
    /// The event's type, for the header in which some providers send it. If no body is given, the body is that of a
    /// recorded event of this type.
    pub(super) event: Option<String>,
    /// A file with the body, relative to this one.
    pub(super) file: Option<PathBuf>,
    /// The body, as JSON.
    pub(super) body: Option<Value>,
    /// The fields of a form that is the body: text, or a value that is written into the field as JSON.
    #[serde(default)]
    pub(super) form: BTreeMap<String, Value>,
    /// Places in the body and their new values: `{/data/object/amount_paid: 5}`.
    #[serde(default)]
    pub(super) set: BTreeMap<String, Value>,
    /// Places that are removed from the body.
    #[serde(default)]
    pub(super) remove: Vec<String>,
    /// Headers over those that the provider sends. A header with an empty value is not sent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Path and query. Default: the source's path.
    pub(super) target: Option<String>,
    /// The method. Default: POST.
    pub(super) method: Option<String>,
    /// The sender's address. Default: an address that the source allows.
    pub(super) sender: Option<IpAddr>,
    /// The moment of receipt. Default: the file's `now`.
    pub(super) at: Option<Moment>,
    /// The fault in the request. Default: none.
    pub(super) tamper: Option<TamperCase>,
    /// The signature. `yes`: the provider's. `no`: none. `skipped`: the signature is not verified, for schemes whose
    /// private key is the provider's.
    pub(super) signed: Option<SignedCase>,
}

/// The fault in the request. Default: none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TamperCase {
    /// One letter of the body is changed after signing.
    Body,
    /// One character of the signature is changed.
    Signature,
    /// The request was signed hours ago.
    Time,
}

/// The signature of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignedCase {
    /// The signature that the provider would send.
    Yes,
    /// No signature.
    No,
    /// The signature is not verified.
    Skipped,
}

/// The expected result.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The status of the answer.
    pub(super) status: Option<u16>,
    /// The outcome: `accepted`, `filtered`, `quarantined`, `bad_signature` …
    #[serde(default, deserialize_with = "outcome_value")]
    pub(super) outcome: Option<RequestOutcome>,
    /// The verdict on the signature: `verified`, or the reason why not.
    pub(super) verdict: Option<String>,
    /// The event's type.
    pub(super) event_type: Option<String>,
    /// The routes that match the event, in any order.
    pub(super) routes: Option<Vec<String>>,
    /// The destinations that get the event, in any order.
    pub(super) destinations: Option<Vec<String>>,
    /// The problems of the payload: for each a JSON pointer, or pointer, colon and a part of the message.
    pub(super) quarantine: Option<Vec<String>>,
    /// The requests that destinations get, by destination.
    #[serde(default)]
    pub(super) outgoing: BTreeMap<String, ExpectedRequest>,
}

/// The request that one destination gets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedRequest {
    /// The whole body: JSON, or text.
    pub(super) body: Option<Value>,
    /// Headers and their values. An empty value means that the header is absent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// A part of the reason why nothing can be sent.
    pub(super) error: Option<String>,
}

/// Reads an outcome as a value. The type itself reads a key, where another error would be reported.
fn outcome_value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<RequestOutcome>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let outcome = RequestOutcome::of_label(&text);
    outcome.map(Some).ok_or_else(|| serde::de::Error::unknown_variant(&text, &RequestOutcome::LABELS))
}
