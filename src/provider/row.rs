//! A provider as one row of data, and the table of those that ship.
//!
//! Rows are YAML files in `rows/`, compiled in. A row says where its facts come from; nothing ships from memory. A new
//! provider that the language can express is a new file and a line in the list below, and needs no code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::block::Scheme;
use super::event::EventTemplate;
use super::handshake::{Handshake, HandshakeReply};
use super::problem::{SchemeProblem, TemplateProblem};
use super::scheme::VerifySpec;
use super::spelling::OneOrMany;

const BUILTIN: [&str; 12] = [
    include_str!("rows/discord.yaml"),
    include_str!("rows/github.yaml"),
    include_str!("rows/gitlab.yaml"),
    include_str!("rows/gitlab_signed.yaml"),
    include_str!("rows/sendgrid.yaml"),
    include_str!("rows/shopify.yaml"),
    include_str!("rows/slack.yaml"),
    include_str!("rows/square.yaml"),
    include_str!("rows/standardwebhooks.yaml"),
    include_str!("rows/stripe.yaml"),
    include_str!("rows/svix.yaml"),
    include_str!("rows/twilio.yaml"),
];

/// The rows that ship, read once.
pub fn builtin() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let rows = BUILTIN.iter().map(|text| Row::parse(text));
        Table::new(rows.map(|row| row.expect("a row that ships is well formed, which a test checks")))
    });
    &TABLE
}

/// How well a row's facts are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The provider's own SDK was run against the vectors.
    Sdk,
    /// The provider's documentation, or two independent implementations that quote it.
    Docs,
    /// One third-party table only.
    List,
    /// Not sourced.
    Memory,
}

/// The written form of a row: of a built-in one, and of an entry of `providers:` in routes.yaml.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowSpec {
    /// The row's name; in routes.yaml the entry's key says it.
    name: Option<String>,
    title: Option<String>,
    proof: Option<SourceKind>,
    verify: VerifySpec,
    event: Option<OneOrMany<String>>,
    delivery: Option<OneOrMany<String>>,
    body_max: Option<String>,
    #[serde(default)]
    handshake: Option<OneOrMany<Handshake>>,
    content: Option<String>,
    notes: Option<String>,
    source: Option<String>,
    rotation: Option<String>,
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
    content: Option<String>,
    notes: Option<String>,
    source: String,
    rotation: Option<String>,
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
        let RowSpec {
            name: _,
            title,
            proof,
            verify,
            event,
            delivery,
            body_max,
            handshake,
            content,
            notes,
            source,
            rotation,
        } = spec;
        let events = |written: Option<OneOrMany<String>>| {
            written.map(|written| EventTemplate::first_of(&written.0)).transpose().map_err(RowProblem::Event)
        };
        Ok(Self {
            scheme: Scheme::compile(&verify).map_err(RowProblem::Scheme)?,
            event: events(event)?,
            delivery: events(delivery)?,
            body_bytes_max: body_max.map(|text| mebibytes(&text).ok_or(RowProblem::BodyMax)).transpose()?,
            handshakes: handshake.map(|handshakes| handshakes.0).unwrap_or_default(),
            name: name.to_owned(),
            title: title.unwrap_or_else(|| name.to_owned()),
            proof: proof.unwrap_or(SourceKind::Memory),
            content,
            notes,
            source: source.unwrap_or_default(),
            rotation,
        })
    }

    /// The name that `provider:` takes.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// The name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How well the row's facts are proven.
    pub fn proof(&self) -> SourceKind {
        self.proof
    }

    /// How messages are verified.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Where the event type stands.
    pub fn event(&self) -> Option<&EventTemplate> {
        self.event.as_ref()
    }

    /// Where the delivery id stands.
    pub fn delivery(&self) -> Option<&EventTemplate> {
        self.delivery.as_ref()
    }

    /// The largest body that the provider sends, where that is more than the default.
    pub fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }

    /// The reply to a verified message, when it is a handshake.
    pub fn handshake_reply(&self, json: &serde_json::Value) -> Option<HandshakeReply> {
        self.handshakes.iter().find_map(|handshake| handshake.reply(json))
    }

    /// Whether there are handshakes, so that a body has to be looked at.
    pub fn has_handshake(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// What bodies look like.
    pub fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// What an operator should know.
    pub fn notes(&self) -> Option<&str> {
        self.notes.as_deref()
    }

    /// Where the facts come from, with the date.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How the provider changes secrets.
    pub fn rotation(&self) -> Option<&str> {
        self.rotation.as_deref()
    }
}

fn mebibytes(text: &str) -> Option<u64> {
    text.strip_suffix("MiB")?.trim().parse::<u64>().ok()?.checked_mul(1024 * 1024)
}

/// Why a row cannot be read.
#[derive(Debug)]
pub enum RowProblem {
    /// Not the YAML of a row.
    Yaml(serde_yaml::Error),
    /// The scheme does not hold together.
    Scheme(SchemeProblem),
    /// The event type or delivery id cannot be read.
    Event(TemplateProblem),
    /// The size is not written as `25MiB`.
    BodyMax,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(problem) => write!(f, "{problem}"),
            Self::Scheme(problem) => write!(f, "verify: {problem}"),
            Self::Event(problem) => write!(f, "event or delivery: {problem}"),
            Self::BodyMax => f.write_str("body_max: write a size such as `25MiB`"),
        }
    }
}

impl std::error::Error for RowProblem {}

/// Providers by name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<String, Row>,
}

impl Table {
    /// A table of these rows.
    pub fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.name.clone(), row)).collect() }
    }

    /// The row of that name.
    pub fn get(&self, name: &str) -> Option<&Row> {
        self.rows.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// All rows, sorted by name.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }
}
