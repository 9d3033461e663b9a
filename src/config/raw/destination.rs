//! `defaults` and `destinations`: the services that receive events, and the settings of delivery.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{Balance, CircuitBreaker, FileRef, HeaderText, Health, Secret, Target, TargetUrl, Throughput};
use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::config::units::{ByteSize, Count, Duration};

/// The default values of other sections' entries.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The default values of every destination, key by key.
    #[serde(default)]
    pub destination: DestinationDefaults,
}

/// The default values of every destination, which overrides them key by key.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationDefaults {
    /// The time limit of one attempt. Default: 10s.
    pub timeout: Option<Duration>,
    /// The time limit of connecting. Default: 3s.
    pub connect_timeout: Option<Duration>,
    /// The retries of failed attempts: which, when and how often.
    pub retry: Option<Retry>,
    /// The keeping of deliveries that failed for good.
    pub dead_letter: Option<DeadLetter>,
    /// The most deliveries in flight at a time. Default: 64.
    pub concurrency: Option<Count>,
    /// The failures after which a service gets no attempts for a while. `off` disables the circuit breaker.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The rate of attempts to one service. Default: no limit.
    pub rate_limit: Option<Throughput>,
    /// The form of the body. Default: raw.
    pub format: Option<Format>,
    /// The signature on each delivery, by which the service can tell who sent it. Default: none.
    pub sign: Option<Sign>,
    /// The settings of TLS connections to services.
    pub tls: Option<ServiceTls>,
    /// The maximum size of a service's last answer that is kept with a delivery, 0B to 64KiB. A longer answer is cut;
    /// `0B` keeps none. Default: 2KiB.
    pub keep_answer: Option<ByteSize>,
}

/// A service that receives events, at one `url` or at several `targets`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["targets"] }]))]
pub struct Destination {
    /// The URL to which events are sent. Path and query may hold values of the event, in CEL:
    /// `http://orders:9000/{params.tenant}`.
    pub url: Option<TargetUrl>,
    /// The addresses to which events are sent, for a service that has several.
    pub targets: Option<Vec<Target>>,
    /// The choice of the target that gets an event. Default: each in its turn.
    pub balance: Option<Balance>,
    /// The health checks of the targets. Default: none.
    pub health: Option<Health>,
    /// The time limit of one attempt. Default: 10s.
    pub timeout: Option<Duration>,
    /// The time limit of connecting. Default: 3s.
    pub connect_timeout: Option<Duration>,
    /// The retries of failed attempts, merged key by key over `defaults.destination.retry`.
    pub retry: Option<Retry>,
    /// The keeping of deliveries that failed for good.
    pub dead_letter: Option<DeadLetter>,
    /// The most deliveries in flight at a time. Default: 64.
    pub concurrency: Option<Count>,
    /// The failures after which the service gets no attempts for a while, merged key by key over
    /// `defaults.destination`. `off` disables the circuit breaker.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The rate of attempts to the service. Default: no limit.
    pub rate_limit: Option<Throughput>,
    /// The settings of TLS connections to the service, merged key by key over `defaults.destination.tls`.
    pub tls: Option<ServiceTls>,
    /// The form of the body. Default: raw.
    pub format: Option<Format>,
    /// The signature on each delivery, by which the service can tell who sent it. Default: none.
    pub sign: Option<Sign>,
    /// The headers that are set on every attempt and on health checks: `{Authorization: {file: /run/secrets/token,
    /// prefix: "Bearer "}, X-Env: prod}`. They replace the sender's and a transform's headers of the same name. A value
    /// given by the place of a secret is never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderText>,
    /// The maximum size of the service's last answer that is kept with a delivery, 0B to 64KiB. A longer answer is cut;
    /// `0B` keeps none. Default: 2KiB.
    pub keep_answer: Option<ByteSize>,
}

/// The settings of TLS connections to services. The files are read with the configuration, so a reload takes new ones.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceTls {
    /// The authorities that may have signed the service's certificate (PEM, one or more), instead of those that the
    /// system trusts.
    pub ca: Option<FileRef>,
    /// The gateway's certificate, for a service that asks for one (PEM, intermediates after it).
    pub client_cert: Option<FileRef>,
    /// The private key of the gateway's certificate (PEM).
    pub client_key: Option<FileRef>,
    /// The name in the service's certificate, if it is not the host of the URL.
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
    /// One JSON object with the request and its headers.
    Envelope,
}

/// The signature on each delivery.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The scheme of the signature.
    pub r#type: SignType,
    /// The keys: `whsec_…` in base64. Every valid key signs, so that keys can be rotated.
    pub secrets: Vec<Secret>,
}

/// A scheme of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignType {
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature` by Standard Webhooks.
    StandardWebhooks,
}

/// The retries of failed attempts: which, when and how often.
#[expect(clippy::struct_field_names, reason = "the keys of the file are fixed")]
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The maximum number of attempts, the first included. Default: 12.
    pub max_attempts: Option<Count>,
    /// The pause after the first attempt. The pause doubles with each attempt. Default: 2s.
    pub initial: Option<Duration>,
    /// The longest pause. Default: 1h.
    pub max: Option<Duration>,
    /// The random spread of the pauses. Default: full.
    pub jitter: Option<Jitter>,
    /// The age of an event at which its delivery is given up. Default: 24h.
    pub give_up_after: Option<Duration>,
    /// The failures that are retried. Any other answer that is not 2xx is final. Default: [connect, timeout, 5xx, 408,
    /// 425, 429].
    pub retry_on: Option<Vec<RetryOn>>,
    /// `true`: a service's `Retry-After` is followed, up to `max`. Default: true.
    pub respect_retry_after: Option<bool>,
}

/// The random spread of pauses, so that retries do not come all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// A random part of the pause, between nothing and all of it.
    Full,
    /// The whole pause, always.
    None,
}

/// The keeping of deliveries that failed for good.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// The time for which such deliveries are kept. Default: 14d.
    pub keep: Option<Duration>,
}

/// A failure that is retried.
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
