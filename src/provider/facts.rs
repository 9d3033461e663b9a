//! The facts of a provider as a sender: its timeout, its retries, and when it stops sending for good.
//!
//! Facts are data of the row, each with its source and the month of reading. They describe the provider's behaviour,
//! not ours. Their use by the gateway (answers, failure budget, body cap) is decided elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::month::Month;
use super::row::SourceKind;
use super::yaml_forms::TimeSpan;
use crate::patience::{Limit, Rule};

/// The time that the provider waits for an answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The time for the connection.
    #[serde(default, deserialize_with = "some_time")]
    connect: Option<TimeSpan>,
    /// The time for the whole answer, from the connection on.
    #[serde(default, deserialize_with = "some_time")]
    total: Option<TimeSpan>,
}

/// Reads a time that is more than nothing.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeSpan>, D::Error> {
    let span = Option::<TimeSpan>::deserialize(deserializer)?;
    match span {
        Some(span) if span.0.is_zero() => Err(D::Error::custom("no answer comes in no time; leave it out")),
        span => Ok(span),
    }
}

impl Budget {
    /// Returns the time for the connection.
    pub fn connect(&self) -> Option<Duration> {
        self.connect.map(|span| span.0)
    }

    /// Returns the time for the whole answer.
    pub fn total(&self) -> Option<Duration> {
        self.total.map(|span| span.0)
    }
}

/// The provider's retries of failed deliveries.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The most attempts after the first; 0 is none.
    attempts: Option<u32>,
    /// The time from the first attempt to the last.
    over: Option<TimeSpan>,
    /// The pauses between attempts.
    #[serde(default)]
    schedule: Vec<TimeSpan>,
    /// The answers that are retried. Default: everything that is no success.
    #[serde(default)]
    on: Vec<AnswerSet>,
    /// Other facts, in words.
    note: Option<String>,
}

impl Retry {
    /// Returns the most attempts after the first; 0 is none.
    pub fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// Returns the longest time from the first attempt to the last: the written one, or the sum of the pauses.
    pub fn horizon(&self) -> Option<Duration> {
        let sum = (!self.schedule.is_empty()).then(|| self.schedule.iter().map(|span| span.0).sum());
        self.over.map(|span| span.0).or(sum)
    }

    /// Returns the pauses between attempts.
    pub fn schedule(&self) -> impl Iterator<Item = Duration> {
        self.schedule.iter().map(|span| span.0)
    }

    /// Returns the answers that are retried; empty is everything that is no success.
    pub fn on(&self) -> &[AnswerSet] {
        &self.on
    }

    /// Returns other facts, in words.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// Some of the answers that a sender can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerSet {
    /// A class by its first digit: `5xx`.
    Class(u16),
    /// One status.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
}

impl AnswerSet {
    /// Returns whether a status belongs to it.
    pub fn has(self, status: u16) -> bool {
        match self {
            Self::Class(digit) => status / 100 == digit,
            Self::Status(one) => status == one,
            Self::Timeout | Self::Connect => false,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "timeout" => Self::Timeout,
            "connect" => Self::Connect,
            _ => match text.strip_suffix("xx") {
                Some(digit) => Self::Class(digit.parse().ok().filter(|digit| (1..6).contains(digit))?),
                None => Self::Status(text.parse().ok().filter(|status| (100..600).contains(status))?),
            },
        })
    }
}

impl fmt::Display for AnswerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(digit) => write!(f, "{digit}xx"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connect => f.write_str("connect"),
        }
    }
}

impl<'de> Deserialize<'de> for AnswerSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = AnswerSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as `429`, a class such as `5xx`, `timeout` or `connect`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<AnswerSet, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AnswerSet, E> {
                AnswerSet::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Word)
    }
}

impl JsonSchema for AnswerSet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnswerSet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "examples": ["5xx", 429, "timeout"]})
    }
}

/// A limit at which the provider stops sending: exactly one of `consecutive`, `share` with `within`, `lasting`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LimitSpec {
    /// The number of failures in a row.
    consecutive: Option<u32>,
    /// The share of failed requests: `95%`.
    share: Option<String>,
    /// The window of `share`.
    within: Option<TimeSpan>,
    /// The fewest requests in the window with which `share` counts. Default: 1.
    at_least: Option<u32>,
    /// The time of failures without a success.
    lasting: Option<TimeSpan>,
    /// The consequence for the subscription.
    then: String,
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec = LimitSpec::deserialize(deserializer)?;
        let LimitSpec { consecutive, share, within, at_least, lasting, then } = spec;
        let rule = match (consecutive, share, within, lasting) {
            (Some(count @ 1..), None, None, None) => Rule::Consecutive(count),
            (None, Some(share), Some(within), None) if !within.0.is_zero() => {
                let share = percent(&share).ok_or_else(|| D::Error::custom("write a share such as `95%`"))?;
                Rule::Share { share, within: within.0, at_least: at_least.unwrap_or(1) }
            }
            (None, None, None, Some(lasting)) if !lasting.0.is_zero() => Rule::Lasting(lasting.0),
            _ => {
                return Err(D::Error::custom(
                    "write one of `consecutive`, `share` with `within`, or `lasting`, none of them zero",
                ));
            }
        };
        Ok(Self { rule, then })
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        LimitSpec::json_schema(generator)
    }
}

fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    (number > 0.0 && number <= 100.0).then_some(number / 100.0)
}

/// The format of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// `application/json` and related types.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// `text/plain`.
    Text,
    /// XML.
    Xml,
    /// The body is a JWT.
    Jwt,
    /// Any format that the user of the provider chooses.
    Any,
}

impl Content {
    /// Returns the word in rows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Form => "form",
            Self::Multipart => "multipart",
            Self::Text => "text",
            Self::Xml => "xml",
            Self::Jwt => "jwt",
            Self::Any => "any",
        }
    }
}

/// A fact that may have a source of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the keys of the row")]
pub enum FactName {
    Budget,
    Retry,
    Success,
    Final,
    Disable,
    Ips,
    BodyMax,
    Body,
    Answers,
    Order,
    Recovery,
    Handshake,
    Rotation,
    Content,
    Event,
    Delivery,
    Types,
}

/// The source of a fact.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactSource {
    /// The proof of the fact.
    pub proof: SourceKind,
    /// The page or package.
    pub from: String,
    /// The month in which the fact was read.
    pub read: Month,
}

/// The sources of a row's facts.
pub type FactSources = BTreeMap<FactName, FactSource>;
