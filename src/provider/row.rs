//! A provider as one row of data.
//!
//! One type reads the rows that ship (`rows/*.yaml`) and those under `providers:` in routes.yaml. A row states how the
//! provider signs, what it sends, how it behaves as a sender, what it must be answered, and the source of each of these
//! facts. A new provider that the language can express is a new file, and needs no code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::addresses::{Ips, Preset};
use super::answer::{AnswerProblem, AnswerSpec};
use super::block::Scheme;
use super::body::BodySpec;
use super::event::EventTemplate;
use super::facts::{AnswerSet, Budget, Content, FactName, FactSources, Retry};
use super::handshake::{self, Handshake};
use super::handshake_spec::{HandshakeProblem, HandshakeSpec};
use super::problem::SchemeProblem;
use super::scheme::VerifySpec;
use super::template_errors::TemplateProblem;
use super::yaml_forms::OneOrMany;
use crate::answer::Answers;
use crate::patience::Limit;
use crate::refusal::RequestOutcome;

/// The proof of a row's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The provider's own SDK, run against the vectors.
    Sdk,
    /// The provider's documentation, or two independent implementations that quote it.
    Docs,
    /// One third-party table only.
    List,
    /// No source.
    Memory,
}

/// A provider: a built-in row, or an entry of `providers:` in routes.yaml.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowSpec {
    /// The name of the provider. In routes.yaml the entry's key is the name.
    name: Option<String>,
    /// The provider's name for people.
    title: Option<String>,
    /// Other names by which people look for it, such as products and former names.
    #[serde(default)]
    aliases: Vec<String>,
    /// The provider of which this is another way of signing. `verify --batch` tries this way too; a source never does.
    version_of: Option<String>,
    /// The proof of the verification: sdk, docs, list or memory. Default: memory.
    proof: Option<SourceKind>,
    /// The verification of the provider's messages.
    verify: VerifySpec,
    /// Values that a source should give under `context:`, each with the risk of a source without it.
    #[serde(default)]
    context: BTreeMap<String, String>,
    /// The place of the event type.
    event: Option<OneOrMany<String>>,
    /// The place of the delivery id, by which repeated events are recognized.
    delivery: Option<OneOrMany<String>>,
    /// All event types that the provider sends. Default: unknown.
    #[serde(default)]
    types: BTreeSet<String>,
    /// The formats of bodies. Default: unknown.
    #[serde(default)]
    content: Vec<Content>,
    /// The way to read bodies: `auto` (default), `json`, `form`, or the form field with the JSON: `{form: payload}`.
    /// `auto` reads JSON by its content type, and for schemas any body that parses as JSON. `body:` of a source
    /// overrides this.
    body: Option<BodySpec>,
    /// The largest body that the provider sends, such as `25MiB`.
    body_max: Option<String>,
    /// The addresses from which the provider sends.
    ips: Option<Ips>,
    /// The way in which the provider rotates secrets.
    rotation: Option<String>,
    /// The requests, beside events, that the provider wants answered.
    handshake: Option<OneOrMany<HandshakeSpec>>,
    /// The time that the provider waits for an answer.
    budget: Option<Budget>,
    /// The provider's retries of failed deliveries.
    retry: Option<Retry>,
    /// The answers that count as success. Default: 2xx.
    #[serde(default)]
    success: Vec<AnswerSet>,
    /// The answers after which the provider never tries again.
    #[serde(default)]
    r#final: Vec<AnswerSet>,
    /// The limits at which the provider stops sending.
    #[serde(default)]
    disable: Vec<Limit>,
    /// Facts about order and duplicates.
    order: Option<String>,
    /// The way to get lost events again.
    recovery: Option<String>,
    /// The answers that the provider needs, where they differ from the gateway's defaults.
    #[serde(default)]
    answers: BTreeMap<RequestOutcome, AnswerSpec>,
    /// Notes for an operator.
    notes: Option<String>,
    /// The source of the facts, with the date.
    source: Option<String>,
    /// The sources of single facts.
    #[serde(default)]
    sources: FactSources,
}

/// A provider.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    title: String,
    proof: SourceKind,
    scheme: Scheme,
    event: Option<EventTemplate>,
    delivery: Option<EventTemplate>,
    body_bytes_max: Option<u64>,
    handshakes: Vec<Handshake>,
    answers: Answers,
    spec: Box<RowSpec>,
}

impl Row {
    /// Reads a row from YAML.
    pub fn parse(yaml: &str) -> Result<Self, RowProblem> {
        let spec: RowSpec = serde_yaml::from_str(yaml).map_err(RowProblem::Yaml)?;
        let name = spec.name.clone().unwrap_or_default();
        Self::of(&name, spec)
    }

    /// Makes the row `name` of its written form.
    pub fn of(name: &str, spec: RowSpec) -> Result<Self, RowProblem> {
        let events = |written: &Option<OneOrMany<String>>| {
            let templates = written.as_ref().map(|written| EventTemplate::first_of(&written.0));
            templates.transpose().map_err(RowProblem::Event)
        };
        let handshakes = spec.handshake.as_ref().map_or(&[][..], |written| &written.0);
        let mut answers = Vec::new();
        for (outcome, answer) in &spec.answers {
            answers.push((*outcome, answer.check().map_err(|problem| RowProblem::Answer(*outcome, problem))?));
        }
        let body_max = spec.body_max.as_deref();
        Ok(Self {
            name: name.to_owned(),
            title: spec.title.clone().unwrap_or_else(|| name.to_owned()),
            proof: spec.proof.unwrap_or(SourceKind::Memory),
            scheme: Scheme::compile(&spec.verify).map_err(RowProblem::Scheme)?,
            event: events(&spec.event)?,
            delivery: events(&spec.delivery)?,
            body_bytes_max: body_max.map(|text| bytes(text).ok_or(RowProblem::BodyMax)).transpose()?,
            handshakes: handshake::compile(handshakes).map_err(RowProblem::Handshake)?,
            answers: answers.into_iter().collect(),
            spec: Box::new(spec),
        })
    }

    /// Returns the name that `provider:` takes.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// Returns the name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Other names by which people look for it.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.spec.aliases.iter().map(String::as_str)
    }

    /// The provider of which this is another way of signing.
    pub fn version_of(&self) -> Option<&str> {
        self.spec.version_of.as_deref()
    }

    /// Returns how well the row's verification is proven.
    pub fn proof(&self) -> SourceKind {
        self.proof
    }

    /// Returns the scheme by which messages are verified.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Returns the way in which messages are verified, in a few words.
    pub fn verified_by(&self) -> String {
        self.spec.verify.summary()
    }

    /// Returns the templates of the event type.
    pub fn event(&self) -> Option<&EventTemplate> {
        self.event.as_ref()
    }

    /// Returns the templates of the delivery id.
    pub fn delivery(&self) -> Option<&EventTemplate> {
        self.delivery.as_ref()
    }

    /// Returns the templates of the event type, as they are written.
    pub fn event_text(&self) -> impl Iterator<Item = &str> {
        self.spec.event.iter().flat_map(|written| &written.0).map(String::as_str)
    }

    /// Returns the templates of the delivery id, as they are written.
    pub fn delivery_text(&self) -> impl Iterator<Item = &str> {
        self.spec.delivery.iter().flat_map(|written| &written.0).map(String::as_str)
    }

    /// Returns all event types that the provider sends; empty is unknown.
    pub fn types(&self) -> &BTreeSet<String> {
        &self.spec.types
    }

    /// Returns the month in which its event types were read.
    pub fn types_read(&self) -> Option<String> {
        self.spec.sources.get(&FactName::Types).map(|source| source.read.to_string())
    }

    /// Returns the largest body that the provider sends, in bytes.
    pub fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }

    /// Returns the values that a source should give, each with the risk of leaving it out.
    pub fn context(&self) -> &BTreeMap<String, String> {
        &self.spec.context
    }

    /// Returns the requests beside events that it wants answered.
    pub fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    /// Returns the formats of its bodies; empty is unknown.
    pub fn content(&self) -> &[Content] {
        &self.spec.content
    }

    /// Returns the way to read the provider's bodies; `None` if the row has none.
    pub fn body(&self) -> Option<&BodySpec> {
        self.spec.body.as_ref()
    }

    /// Returns the addresses from which it sends.
    pub fn ips(&self) -> Option<&Ips> {
        self.spec.ips.as_ref()
    }

    /// Returns the addresses that `allow_ips` with this provider's name stands for.
    pub fn preset(&self) -> Option<Preset<'_>> {
        self.spec.ips.as_ref()?.preset(self.spec.sources.get(&FactName::Ips))
    }

    /// Returns the time that it gives an answer.
    pub fn budget(&self) -> Option<&Budget> {
        self.spec.budget.as_ref()
    }

    /// Returns the retries of what was not taken.
    pub fn retry(&self) -> Option<&Retry> {
        self.spec.retry.as_ref()
    }

    /// Returns the answers that count as success; empty is 2xx.
    pub fn success(&self) -> &[AnswerSet] {
        &self.spec.success
    }

    /// Returns whether an answer of this status is success for the provider.
    pub fn is_success(&self, status: u16) -> bool {
        match self.spec.success.as_slice() {
            [] => (200..300).contains(&status),
            sets => sets.iter().any(|set| set.has(status)),
        }
    }

    /// Returns the answers after which it never tries again.
    pub fn is_final(&self) -> &[AnswerSet] {
        &self.spec.r#final
    }

    /// Returns the limits at which it stops sending.
    pub fn disable(&self) -> &[Limit] {
        &self.spec.disable
    }

    /// Returns the facts about order and duplicates.
    pub fn order(&self) -> Option<&str> {
        self.spec.order.as_deref()
    }

    /// Returns the way to get lost events again.
    pub fn recovery(&self) -> Option<&str> {
        self.spec.recovery.as_deref()
    }

    /// Returns the answers that it needs, where they differ from the gateway's defaults.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Returns the notes for an operator.
    pub fn notes(&self) -> Option<&str> {
        self.spec.notes.as_deref()
    }

    /// Returns the source of the facts, with the date.
    pub fn source(&self) -> &str {
        self.spec.source.as_deref().unwrap_or_default()
    }

    /// Returns the sources of single facts.
    pub fn sources(&self) -> &FactSources {
        &self.spec.sources
    }

    /// Returns the way in which the provider rotates secrets.
    pub fn rotation(&self) -> Option<&str> {
        self.spec.rotation.as_deref()
    }
}

/// Reads `25MiB` or `256KiB`.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix("MiB") {
        Some(number) => (number, 1024 * 1024),
        None => (text.strip_suffix("KiB")?, 1024),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}
/// The reason why a row cannot be read.
#[derive(Debug)]
pub enum RowProblem {
    /// Not the YAML of a row.
    Yaml(serde_yaml::Error),
    /// The scheme is invalid.
    Scheme(SchemeProblem),
    /// The event type or delivery id cannot be read.
    Event(TemplateProblem),
    /// The size is not written as `25MiB`.
    BodyMax,
    /// A handshake cannot be used.
    Handshake(HandshakeProblem),
    /// An answer cannot be given.
    Answer(RequestOutcome, AnswerProblem),
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(problem) => write!(f, "{problem}"),
            Self::Scheme(problem) => write!(f, "verify: {problem}"),
            Self::Event(problem) => write!(f, "event or delivery: {problem}"),
            Self::BodyMax => f.write_str("body_max: write a size such as `25MiB`"),
            Self::Handshake(problem) => write!(f, "handshake: {problem}"),
            Self::Answer(outcome, problem) => write!(f, "answers: {}: {problem}", outcome.label()),
        }
    }
}

impl std::error::Error for RowProblem {}
