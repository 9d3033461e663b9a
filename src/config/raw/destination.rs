//! `defaults` and `destinations`: the services that receive events, and how hard we try.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{Balance, CircuitBreaker, FileRef, HeaderText, Health, Secret, Target, TargetUrl, Throughput};
use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::config::units::{Bytes, Count, Duration};

/// What entries start from.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// What every destination starts from.
    #[serde(default)]
    pub destination: DestinationDefaults,
}

/// What every destination starts from; it overrides field by field.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationDefaults {
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// What is tried again, when and how often.
    pub retry: Option<Retry>,
    /// What becomes of deliveries that failed for good.
    pub dead_letter: Option<DeadLetter>,
    /// Deliveries in flight at a time.
    pub concurrency: Option<Count>,
    /// When a service that fails is left alone; `off` is never.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How many attempts a service is given in a time.
    pub rate_limit: Option<Throughput>,
    /// The form of the body. Default: raw.
    pub format: Option<Format>,
    /// Signs what is sent, so that the service can tell who sends it.
    pub sign: Option<Sign>,
    /// How services are spoken to over TLS.
    pub tls: Option<ServiceTls>,
    /// The maximum size of a service's last answer that is kept with a delivery, 0B to 64KiB. A longer answer is cut;
    /// `0B` keeps none. Default: 2KiB.
    pub keep_answer: Option<Bytes>,
}

/// A service that receives events, at one `url` or at several `targets`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["targets"] }]))]
pub struct Destination {
    /// Where events are sent. Path and query may hold values of the event, in CEL: `http://orders:9000/{params.tenant}`.
    pub url: Option<TargetUrl>,
    /// Where events are sent, when the service has several addresses.
    pub targets: Option<Vec<Target>>,
    /// Which of the targets gets an event. Default: each in its turn.
    pub balance: Option<Balance>,
    /// How targets are asked for their health; without this, they are not.
    pub health: Option<Health>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// What is tried again; merged field by field over `defaults.destination.retry`.
    pub retry: Option<Retry>,
    /// What becomes of deliveries that failed for good.
    pub dead_letter: Option<DeadLetter>,
    /// Deliveries in flight at a time.
    pub concurrency: Option<Count>,
    /// When the service is left alone because it fails, merged field by field over `defaults.destination`; `off` is never.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How many attempts the service is given in a time.
    pub rate_limit: Option<Throughput>,
    /// How the service is spoken to over TLS, merged field by field over `defaults.destination.tls`.
    pub tls: Option<ServiceTls>,
    /// The form of the body. Default: raw.
    pub format: Option<Format>,
    /// Signs what is sent, so that the service can tell who sends it.
    pub sign: Option<Sign>,
    /// Headers that are set on every attempt and on health checks, instead of the sender's and a transform's of the same
    /// name: `{Authorization: {file: /run/secrets/token, prefix: "Bearer "}, X-Env: prod}`. A value given by the place of a
    /// secret is never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderText>,
    /// The maximum size of the service's last answer that is kept with a delivery, 0B to 64KiB. A longer answer is cut;
    /// `0B` keeps none. Default: 2KiB.
    pub keep_answer: Option<Bytes>,
}

/// How services are spoken to over TLS. The files are read when the configuration is, so a reload takes new ones.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceTls {
    /// Who may have signed the service's certificate (PEM, one or more), instead of those that the system trusts.
    pub ca: Option<FileRef>,
    /// Our certificate, for a service that asks for one (PEM, intermediates after it).
    pub client_cert: Option<FileRef>,
    /// The private key of our certificate (PEM).
    pub client_key: Option<FileRef>,
    /// The name that the service's certificate is for, where it is not the host of the URL.
    pub server_name: Option<String>,
}

/// The form of the body that a service gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes as they came, or as the route's transform made them.
    Raw,
    /// CloudEvents 1.0, structured JSON.
    CloudEvents,
    /// The request with its headers in one JSON object.
    Envelope,
}

/// How what is sent is signed.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The scheme.
    pub r#type: SignType,
    /// The keys: `whsec_…` in base64. All that are valid sign, so that one can be exchanged for another.
    pub secrets: Vec<Secret>,
}

/// A scheme of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignType {
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature` by Standard Webhooks.
    StandardWebhooks,
}

/// What is tried again, when and how often.
#[expect(clippy::struct_field_names, reason = "the keys of the file are fixed")]
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The most attempts, the first included.
    pub max_attempts: Option<Count>,
    /// The pause after the first attempt; it doubles with each one.
    pub initial: Option<Duration>,
    /// The longest pause.
    pub max: Option<Duration>,
    /// How pauses are spread.
    pub jitter: Option<Jitter>,
    /// The age at which an event is no longer tried.
    pub give_up_after: Option<Duration>,
    /// What is tried again; any other answer that is not 2xx is final.
    pub retry_on: Option<Vec<RetryOn>>,
    /// Whether a service's `Retry-After` is followed, up to `max`.
    pub respect_retry_after: Option<bool>,
}

/// How pauses are spread, so that retries do not come all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anywhere between nothing and the whole pause.
    Full,
    /// The whole pause, always.
    None,
}

/// What becomes of deliveries that failed for good.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// How long they are kept.
    pub keep: Option<Duration>,
}

/// One thing that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// Any status from 400 to 499.
    Any4xx,
    /// Any status from 500 to 599.
    Any5xx,
    /// One status, from 400 to 599.
    Status(u16),
}

const RETRY_ON: &str = "the values are connect, timeout, 4xx, 5xx and any status from 400 to 599";

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrStatus;

        impl Visitor<'_> for WordOrStatus {
            type Value = RetryOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a status")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RetryOn, E> {
                match text {
                    "connect" => Ok(RetryOn::Connect),
                    "timeout" => Ok(RetryOn::Timeout),
                    "4xx" => Ok(RetryOn::Any4xx),
                    "5xx" => Ok(RetryOn::Any5xx),
                    _ => Err(complaint(Code::UnknownValue, "cannot be retried on", RETRY_ON)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RetryOn, E> {
                let status = u16::try_from(number).ok().filter(|status| (400..600).contains(status));
                let help = format!("2xx is success and 3xx is never retried; {RETRY_ON}");
                status.map(RetryOn::Status).ok_or_else(|| complaint(Code::UnknownValue, "cannot be retried on", &help))
            }
        }

        // Asked for as a number, so that one out of a variable is read as a number.
        deserializer.deserialize_u16(WordOrStatus)
    }
}

impl JsonSchema for RetryOn {
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["connect", "timeout", "4xx", "5xx"] },
            { "type": "integer", "minimum": 400, "maximum": 599 },
        ] })
    }
}
