//! Of a destination: its targets, how they are balanced, their health, the circuit breaker.

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
    /// Where events are sent. Path and query may hold values of the event, in CEL.
    pub url: TargetUrl,
    /// Its share in relation to the others, from 1 to 1000. Default: 1.
    pub weight: Option<Count>,
}

/// Which of the targets gets an event.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// By what it is chosen.
    pub by: BalanceBy,
    /// For `consistent_hash`: the key, in CEL. Events with the same key go to the same target; an event without one goes
    /// by its id.
    pub key: Option<String>,
}

/// By what a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceBy {
    /// Each in its turn, as often as its weight says. The default.
    RoundRobin,
    /// The same key, the same target; a target more or less moves its own keys only.
    ConsistentHash,
}

/// How targets are asked for their health. A target that is unhealthy gets nothing, unless all of them are.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The page that is asked for at each target, such as `/healthz`; 2xx is healthy.
    pub path: String,
    /// How often. Default: 5s.
    pub interval: Option<Duration>,
    /// How long an answer may take. Default: 1s.
    pub timeout: Option<Duration>,
    /// So many failures in a row make a target unhealthy. Default: 3.
    pub unhealthy_after: Option<Count>,
    /// So many successes in a row make it healthy again. Default: 2.
    pub healthy_after: Option<Count>,
}

/// When a service that fails is left alone.
#[derive(Clone, Debug)]
pub enum CircuitBreaker {
    /// Never.
    Off,
    /// After so many failures.
    On(Breaker),
}

/// After how many failures a service is left alone, and for how long.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// So many failed attempts open it. Default: 10.
    pub failures: Option<Count>,
    /// The time in which they count. Default: 30s.
    pub within: Option<Duration>,
    /// How long nothing is sent then. Default: 20s.
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
