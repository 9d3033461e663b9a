//! `sources`: the senders of webhooks, and the checks of their requests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::ProviderName;
use super::{AllowIps, Body, ContextValue, Moment, Reply, Secret, Url};
use crate::config::units::{ByteSize, Count, Duration, WrittenRate};
use crate::provider::VerifySpec;
use crate::refusal::{OnFailure, RequestOutcome};

/// A sender of webhooks: its path, its proof of identity, and the checks of its requests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The path that the provider calls, such as `/in/stripe`; `{tenant}` stands for any one segment.
    pub path: String,
    /// The host that the provider calls. Default: any.
    pub host: Option<String>,
    /// The name of a provider, such as `stripe`, whose rules apply: its signatures, event types, handshake and answers.
    #[schemars(with = "Option<ProviderName>")]
    pub provider: Option<String>,
    /// The verification of requests, in place of the provider's. `{type: none, reason: …}` verifies nothing.
    #[schemars(with = "Option<VerifySpec>")]
    pub verify: Option<serde_yaml::Value>,
    /// The secrets. A request may verify under any valid one: to rotate, add the new secret, then remove the old one.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// The URL that the provider calls, for a provider that signs this URL. Default: `server.public_url`.
    pub public_url: Option<Url>,
    /// The accepted methods of events. Default: `[POST]`.
    pub methods: Option<Vec<Method>>,
    /// The accepted content types. Default: all.
    pub content_types: Option<Vec<String>>,
    /// The rate of requests that is accepted. Default: no limit.
    pub rate_limit: Option<RateLimit>,
    /// The addresses that may call: ranges, the name of a provider that publishes its own, or a list of both. Default:
    /// all.
    pub allow_ips: Option<AllowIps>,
    /// The way to read bodies. `auto`: JSON by its content type, and for schemas any body that parses as JSON. `json`:
    /// JSON whatever the content type. `form`: a form, whose fields schemas check. `{form: payload}`: the JSON in that
    /// field of a form. Default: the way of the provider's row, otherwise `auto`.
    pub body: Option<Body>,
    /// The largest body, at most 64MiB. Default: `limits.body` of the listeners, or more for providers that send more.
    pub body_max: Option<ByteSize>,
    /// The JSON Schemas of bodies, by event type. Default: none.
    pub schemas: Option<Schemas>,
    /// The expressions for the type and the id of an event. Default: those of the provider.
    pub event: Option<EventKeys>,
    /// The recognition of repeated events. Default: 72h, or as long as the provider retries, if the provider sends
    /// delivery ids; otherwise none.
    pub dedup: Option<Dedup>,
    /// The origin of the answer to the caller: the gateway (`buffered`) or the service (`sync`). Default: buffered.
    pub mode: Option<Mode>,
    /// The time for which a caller waits for the service in `sync` mode; then it gets 504. Default: 10s.
    pub deadline: Option<Duration>,
    /// `false`: observe mode. Verification, rate limit and schemas count and show what they would refuse, and refuse
    /// nothing. Default: true.
    pub enforce: Option<bool>,
    /// The answers by outcome, over those of the provider.
    #[serde(default)]
    pub answers: BTreeMap<RequestOutcome, Reply>,
    /// The values that the provider's scheme needs from you, such as PayPal's `webhook_id`. A value that is a secret is
    /// given by its place: `{env: PLAID_SECRET}`.
    #[serde(default)]
    pub context: BTreeMap<String, ContextValue>,
    /// The settings of the provider's handshake.
    pub handshake: Option<Handshake>,
    /// The failure brake. While the provider is about to give the endpoint up, events that schema, hygiene or rate
    /// limit would refuse are quarantined and answered as accepted. `false`: they are refused. Default: true.
    pub failure_brake: Option<bool>,
    /// The forwarding of the credential with which the sender proves its identity (a token, a password). `true`
    /// forwards the credential to the services. `false` withholds it in the query and in headers, and withholds
    /// `Authorization`, `Proxy-Authorization` and `Cookie` too. Default: a credential in the query is removed, because
    /// access logs keep URLs, and one in a header is forwarded. A credential in the body is forwarded unless a
    /// transform removes it.
    pub forward_secret: Option<bool>,
}

/// The settings of the provider's handshake.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// The token that you gave the provider for its handshake. Default: any of the secrets.
    pub token: Option<Secret>,
    /// The moment until which unsigned handshakes are answered and a secret is taken over: RFC 3339.
    pub armed_until: Option<Moment>,
    /// The file into which the secret is written that the provider hands over (Asana, Clio, Notion). The file is never
    /// overwritten: its secret is the source's from then on.
    pub capture_to: Option<PathBuf>,
}

/// The rate of requests that is accepted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The sustained rate: `100/s`, `10/m`.
    pub rate: WrittenRate,
    /// The most requests at once. Default: the number in `rate`, such as 100 for `100/s`.
    pub burst: Option<Count>,
    /// The scope of the rate: the whole source, or each calling address. Default: source.
    pub per: Option<Per>,
}

/// The scope of the rate: the whole source, or each calling address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// The source as a whole. Requests count after verification.
    Source,
    /// Each calling address. Requests count after verification.
    Ip,
}

/// The JSON Schemas of bodies, by event type.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// A directory with a file `<event type>.json` for each type.
    pub dir: Option<PathBuf>,
    /// Schema files by event type or glob.
    #[serde(default)]
    pub events: BTreeMap<String, PathBuf>,
    /// The handling of an event for which there is no schema. Default: allow.
    pub on_missing: Option<OnFailure>,
    /// The handling of an event that does not match its schema. Default: quarantine.
    pub on_invalid: Option<OnFailure>,
    /// Keywords that a body must satisfy: `format` checks dates, addresses and others, `content` checks
    /// `contentMediaType` and `contentEncoding`. Default: none; these keywords are notes.
    #[serde(default)]
    pub assert: Vec<Assertion>,
}

/// A keyword that a body must satisfy, instead of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assertion {
    /// `format`.
    Format,
    /// `contentMediaType` and `contentEncoding`.
    Content,
}

/// The expressions for the type and the id of an event.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventKeys {
    /// The type, in CEL: `header['x-shop-topic']`.
    pub r#type: Option<String>,
    /// The id, in CEL: `body.id`.
    pub id: Option<String>,
}

/// The recognition of repeated events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// The time for which an id is remembered.
    pub window: Duration,
}

/// The origin of the answer to the caller: the gateway (`buffered`) or the service (`sync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The service's answer, within the deadline.
    Sync,
    /// The gateway's answer, as soon as the event is stored. The default.
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
