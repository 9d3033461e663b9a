//! `sources`: who may call us, and what is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::ProviderName;
use super::{AllowIps, Body, ContextValue, Moment, Reply, Secret, Url};
use crate::config::units::{Bytes, Count, Duration, Rate};
use crate::provider::VerifySpec;
use crate::refusal::{OnFailure, RequestOutcome};

/// Who may call us: a path, how the caller proves who it is, and what is checked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The path that the provider calls, such as `/in/stripe`; `{tenant}` stands for any one segment.
    pub path: String,
    /// The host that the provider calls; without this, any.
    pub host: Option<String>,
    /// The preset for a provider, such as `stripe`: how it signs, what an event is called, what it understands.
    #[schemars(with = "Option<ProviderName>")]
    pub provider: Option<String>,
    /// How requests are verified, when there is no preset; `{type: none, reason: …}` to verify nothing.
    #[schemars(with = "Option<VerifySpec>")]
    pub verify: Option<serde_yaml::Value>,
    /// The secrets. Any valid one is accepted: rotate by adding one, then removing the other.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// The URL that the provider calls, where it signs it and a proxy changes it.
    pub public_url: Option<Url>,
    /// The methods that are accepted.
    pub methods: Option<Vec<Method>>,
    /// The content types that are accepted.
    pub content_types: Option<Vec<String>>,
    /// How much may come.
    pub rate_limit: Option<RateLimit>,
    /// The addresses that may call: ranges, the name of a provider that publishes its own, or a list of both; without
    /// this, all.
    pub allow_ips: Option<AllowIps>,
    /// The way to read bodies. `auto`: JSON by its content type, and for schemas any body that parses as JSON. `json`:
    /// JSON whatever the content type. `form`: a form, whose fields schemas check. `{form: payload}`: the JSON in that
    /// field of a form. Default: the way of the provider's row, otherwise `auto`.
    pub body: Option<Body>,
    /// The largest body.
    pub body_max: Option<Bytes>,
    /// JSON Schemas for bodies.
    pub schemas: Option<Schemas>,
    /// Where the type and the id of an event are found.
    pub event: Option<EventKeys>,
    /// How repeated events are told.
    pub dedup: Option<Dedup>,
    /// Whether the caller gets our answer or the service's.
    pub mode: Option<Mode>,
    /// How long a caller waits for the service in `sync` mode; then it gets 504.
    pub deadline: Option<Duration>,
    /// `false`: verification, limits and schemas count and show what they would refuse, and refuse nothing.
    pub enforce: Option<bool>,
    /// What to answer, by outcome, where it must be another than the provider's row says.
    #[serde(default)]
    pub answers: BTreeMap<RequestOutcome, Reply>,
    /// Values that only you know, such as PayPal's `webhook_id`; one that is a secret by its place: `{env: PLAID_SECRET}`.
    #[serde(default)]
    pub context: BTreeMap<String, ContextValue>,
    /// What the provider's handshake needs.
    pub handshake: Option<Handshake>,
    /// `false`: refusals stay refusals even when the provider is about to give the endpoint up. The default keeps what
    /// our own schema, hygiene or quota would refuse then, and answers as accepted.
    pub failure_brake: Option<bool>,
    /// The forwarding of the credential with which the sender proves itself (a token, a password). `true` forwards the
    /// credential to the services. `false` withholds it in the query and in headers, and withholds `Authorization`,
    /// `Proxy-Authorization` and `Cookie` too. Default: a credential in the query is removed, because access logs keep
    /// URLs, and one in a header is forwarded. A credential in the body is forwarded unless a transform removes it.
    pub forward_secret: Option<bool>,
}

/// What the provider's handshake needs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// The token that you gave the provider for its question; without this, any of the secrets.
    pub token: Option<Secret>,
    /// Until when unsigned handshakes are answered, and a secret is taken over: RFC 3339.
    pub armed_until: Option<Moment>,
    /// The file that takes the secret which the provider hands over (Asana, Clio, Notion). It is the source's secret from
    /// then on, and is never written over.
    pub capture_to: Option<PathBuf>,
}

/// How much may come.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The sustained rate.
    pub rate: Rate,
    /// How many may come at once.
    pub burst: Option<Count>,
    /// Whose rate it is.
    pub per: Option<Per>,
}

/// Whose rate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Of the source as a whole, counted after verification.
    Source,
    /// Of each calling address.
    Ip,
}

/// JSON Schemas for bodies, by event type.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// A directory with a file `<event type>.json` for each type.
    pub dir: Option<PathBuf>,
    /// Files by event type or glob.
    #[serde(default)]
    pub events: BTreeMap<String, PathBuf>,
    /// What becomes of an event for which there is no schema.
    pub on_missing: Option<OnFailure>,
    /// What becomes of an event that does not fit its schema.
    pub on_invalid: Option<OnFailure>,
    /// Keywords that refuse a body; without this they are notes: `format` checks dates, addresses and the like, `content`
    /// checks `contentMediaType` and `contentEncoding`.
    #[serde(default)]
    pub assert: Vec<Assertion>,
}

/// A keyword that refuses a body instead of being a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assertion {
    /// `format`.
    Format,
    /// `contentMediaType` and `contentEncoding`.
    Content,
}

/// Where the type and the id of an event are found.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventKeys {
    /// The type, in CEL: `header['x-shop-topic']`.
    pub r#type: Option<String>,
    /// The id, in CEL: `body.id`.
    pub id: Option<String>,
}

/// How repeated events are told.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// How long an id is remembered.
    pub window: Duration,
}

/// Whether the caller gets our answer or the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The service's, within the deadline.
    Sync,
    /// Ours, as soon as the event is safe. The default.
    Buffered,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "HTTP says what they mean")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}
