//! The targets of a destination, their balancing and health, and the circuit breaker.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::TargetUrl;
use crate::config::fault::complaint;
use crate::config::problem::Code;
use crate::config::units::{Count, Duration};

/// One of the addresses of a service.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The URL to which events are sent. Path and query may hold values of the event, in CEL.
    pub url: TargetUrl,
    /// The target's share in relation to the others, from 1 to 1000. Default: 1.
    pub weight: Option<Count>,
}

/// The choice of the target that gets an event.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// The rule by which the target is chosen.
    pub by: BalanceBy,
    /// The key for `consistent_hash`, in CEL. Events with the same key go to the same target. An event without a key
    /// goes by its id.
    pub key: Option<String>,
}

/// The rule by which a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceBy {
    /// Each target in its turn, as often as its weight says. The default.
    RoundRobin,
    /// One target for all events with the same key. Adding or removing a target moves only that target's keys.
    ConsistentHash,
}

/// The health checks of targets. An unhealthy target gets no events, unless all targets are unhealthy.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The path that is requested at each target, such as `/healthz`. A 2xx answer is healthy.
    pub path: String,
    /// The time between two checks of a target. Default: 5s.
    pub interval: Option<Duration>,
    /// The time limit of one check. Default: 1s.
    pub timeout: Option<Duration>,
    /// The number of failures in a row that makes a target unhealthy. Default: 3.
    pub unhealthy_after: Option<Count>,
    /// The number of successes in a row that makes a target healthy again. Default: 2.
    pub healthy_after: Option<Count>,
}

/// The circuit breaker of a service.
#[derive(Clone, Debug)]
pub enum CircuitBreaker {
    /// The service gets attempts however often it fails.
    Off,
    /// The service gets no attempts for a while after a number of failures.
    On(Breaker),
}

/// The failures after which a service gets no attempts, and the time for which it gets none.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// The number of failed attempts in a row that opens the circuit breaker. Default: 10.
    pub failures: Option<Count>,
    /// The time within which all these failures must fall. Default: 30s.
    pub within: Option<Duration>,
    /// The time for which nothing is sent then. After it a single probe is sent. Default: 20s.
    pub open_for: Option<Duration>,
}

impl<'de> Deserialize<'de> for CircuitBreaker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrMap;

        impl<'de> Visitor<'de> for OffOrMap {
            type Value = CircuitBreaker;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, or a map with `failures`, `within` and `open_for`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CircuitBreaker, E> {
                let help = "write `off`, or `{failures: 10, within: 30s, open_for: 20s}`";
                let other = || complaint(Code::UnknownValue, "is no setting of a circuit breaker", help);
                if text == "off" { Ok(CircuitBreaker::Off) } else { Err(other()) }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<CircuitBreaker, A::Error> {
                Breaker::deserialize(de::value::MapAccessDeserializer::new(map)).map(CircuitBreaker::On)
            }
        }

        deserializer.deserialize_any(OffOrMap)
    }
}

impl JsonSchema for CircuitBreaker {
    fn schema_name() -> Cow<'static, str> {
        "CircuitBreaker".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let on = generator.subschema_for::<Breaker>();
        json_schema!({ "anyOf": [{ "const": "off" }, on] })
    }
}
