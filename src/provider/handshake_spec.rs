//! The written form of a handshake, and its check.
//!
//! Parse, don't validate: templates, headers and patterns are read here, once. A handshake that could make the gateway
//! sign for a stranger, or hand its secret to one, is refused here.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::block::Primitive;
use super::handshake::Handshake;
use super::key::KeyForm;
use super::mac::MacAlgorithm;
use super::message::{View, single_header};
use super::reply::ReplySpec;
use super::scheme::Encoding;
use super::template::{Source, Template, header_name};
use super::template_errors::{TemplateFault, TemplateProblem};
use super::yaml_forms::TextOrNumber;

/// A handshake: the requests that are one, and the reply to them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandshakeSpec {
    /// The conditions under which a request is this handshake.
    when: WhenSpec,
    /// `true`: the signature is verified first. Default: true.
    #[serde(default = "yes")]
    verified: bool,
    /// `true`: the handshake is answered only while the operator has armed the source. Default: false.
    #[serde(default)]
    armed: bool,
    /// The place of a token that must equal the source's handshake token, or one of its secrets.
    token: Option<String>,
    /// The status for a wrong token, from 400 to 599. Default: 403.
    refused: Option<u16>,
    /// Places, each with a regular expression that its whole value must match.
    #[serde(default)]
    pattern: BTreeMap<String, String>,
    /// The signature made with the source's secret, `{sign}` in the reply.
    sign: Option<SignSpec>,
    /// The place of the secret that the provider hands over.
    capture: Option<String>,
    /// The place of a URL that is opened after the reply. The scheme pins the host of this URL.
    fetch: Option<String>,
    /// The reply to the handshake.
    reply: ReplySpec,
}

/// Conditions, of which all that are written must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhenSpec {
    /// The method.
    method: Option<String>,
    /// JSON pointers into the body, each with the value that must stand there.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Headers, each with the value that it must have.
    #[serde(default)]
    header: BTreeMap<String, TextOrNumber>,
    /// Query parameters, each with the value that it must have.
    #[serde(default)]
    query: BTreeMap<String, TextOrNumber>,
    /// Places that must hold a value: `query:challenge`, `header:X`, `json:/p`.
    #[serde(default)]
    present: Vec<String>,
    /// Places that must hold no value.
    #[serde(default)]
    absent: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignSpec {
    /// The kind of the signature. `hmac`: a keyed hash. `digest`: a hash of text that includes the secret.
    #[serde(rename = "type")]
    kind: SignKind,
    /// The hash: sha1, sha256, sha384 or sha512.
    algorithm: Algorithm,
    /// The conversion of the secret's text into a key. Default: utf8.
    key: Option<String>,
    /// The encoding of the signature.
    encoding: Encoding,
    /// The signed text, as a template.
    over: String,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SignKind {
    Hmac,
    Digest,
}

/// The condition under which a message is a handshake.
#[derive(Clone, Debug)]
pub(super) struct When {
    pub(super) method: Option<String>,
    json: BTreeMap<String, Value>,
    header: Vec<(HeaderName, String)>,
    query: Vec<(Source, String)>,
    present: Vec<Source>,
    absent: Vec<Source>,
}

/// The computation of `{sign}`.
#[derive(Clone, Debug)]
pub(super) struct SignForm {
    pub(super) primitive: Primitive,
    pub(super) encoding: Encoding,
    pub(super) over: Template,
}

/// The reason why a handshake cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeProblem {
    /// A template or a place cannot be read.
    Template(TemplateProblem),
    /// Not a regular expression.
    Pattern(String),
    /// Not an algorithm or a key form for `sign`.
    Sign,
    /// Signs unverified text that no pattern bounds.
    Oracle,
    /// Comes by a method that carries no signature, and wants one.
    NeverVerified,
    /// Takes over a secret without being armed.
    CaptureUnarmed,
    /// The condition is empty, or names no method.
    When,
    /// The reply cannot be given.
    Reply(&'static str),
}

impl fmt::Display for HandshakeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(problem) => write!(f, "{problem}"),
            Self::Pattern(problem) => write!(f, "{problem}"),
            Self::Sign => f.write_str("`sign` takes `type: hmac` or `digest`, a hash and a key form for secrets"),
            Self::Oracle => f.write_str(
                "what an unverified handshake signs needs a `pattern` for each of its values, or strangers could have events signed",
            ),
            Self::NeverVerified => f.write_str("GET, HEAD and OPTIONS carry no signature: write `verified: false`"),
            Self::CaptureUnarmed => f.write_str("what takes over a secret needs `armed: true`"),
            Self::When => f.write_str("`when` needs a `method`, and anything that tells the handshake from an event"),
            Self::Reply(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for HandshakeProblem {}

type Compiled<T> = Result<T, HandshakeProblem>;

impl HandshakeSpec {
    pub(super) fn compile(&self) -> Compiled<Handshake> {
        let mut patterns = Vec::new();
        for (at, pattern) in &self.pattern {
            let whole = Regex::new(&format!("^(?:{pattern})$"));
            patterns.push((place(at)?, whole.map_err(|problem| HandshakeProblem::Pattern(problem.to_string()))?));
        }
        let handshake = Handshake {
            when: self.when.compile()?,
            verified: self.verified,
            armed: self.armed,
            token: self.token.as_deref().map(place).transpose()?,
            refused: self.refused.unwrap_or(403),
            patterns,
            sign: self.sign.as_ref().map(SignSpec::compile).transpose()?,
            capture: self.capture.as_deref().map(place).transpose()?,
            open: self.fetch.as_deref().map(place).transpose()?,
            reply: self.reply.compile()?,
        };
        if handshake.verified && matches!(handshake.method(), "GET" | "HEAD" | "OPTIONS") {
            return Err(HandshakeProblem::NeverVerified);
        }
        if !(400..600).contains(&handshake.refused) {
            return Err(HandshakeProblem::Reply("`refused` is a status from 400 to 599"));
        }
        if handshake.capture.is_some() && !handshake.armed {
            return Err(HandshakeProblem::CaptureUnarmed);
        }
        if !handshake.verified && handshake.signs_freely() {
            return Err(HandshakeProblem::Oracle);
        }
        Ok(handshake)
    }
}

impl Handshake {
    /// Returns whether a stranger can choose the text that `sign` is made over.
    fn signs_freely(&self) -> bool {
        let Some(SignForm { over, .. }) = &self.sign else { return false };
        let bounded = |source: &Source| {
            matches!(source, Source::Context(_) | Source::Secret)
                || self.patterns.iter().any(|(at, _)| same_place(at, source))
        };
        !over.values().all(|(source, _)| bounded(source))
    }
}

fn same_place(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (Source::Header(one), Source::Header(other)) => one == other,
        (Source::Json(one), Source::Json(other))
        | (Source::Form(one), Source::Form(other))
        | (Source::Query(one), Source::Query(other)) => one == other,
        _ => false,
    }
}

/// Parses the place of a single value that the sender chose.
fn place(text: &str) -> Compiled<Source> {
    let source = Source::parse(text).map_err(HandshakeProblem::Template)?;
    match source {
        Source::Header(_) | Source::Json(_) | Source::Form(_) | Source::Query(_) => Ok(source),
        _ => Err(HandshakeProblem::Template(TemplateProblem::of(text, TemplateFault::NotHere(text.to_owned())))),
    }
}

impl WhenSpec {
    fn compile(&self) -> Compiled<When> {
        let Self { method, json, header, query, present, absent } = self;
        if method.is_none() {
            return Err(HandshakeProblem::When);
        }
        let places = |texts: &[String]| texts.iter().map(|text| place(text)).collect::<Compiled<Vec<_>>>();
        let mut headers = Vec::new();
        for (name, value) in header {
            headers.push((header_name(name).map_err(HandshakeProblem::Template)?, value.0.clone()));
        }
        Ok(When {
            method: method.clone(),
            json: json.clone(),
            header: headers,
            query: query.iter().map(|(name, value)| (Source::Query(name.clone()), value.0.clone())).collect(),
            present: places(present)?,
            absent: places(absent)?,
        })
    }
}

impl SignSpec {
    fn compile(&self) -> Compiled<SignForm> {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => MacAlgorithm::Sha1,
            Algorithm::Sha256 => MacAlgorithm::Sha256,
            Algorithm::Sha384 => MacAlgorithm::Sha384,
            Algorithm::Sha512 => MacAlgorithm::Sha512,
            _ => return Err(HandshakeProblem::Sign),
        };
        let over = Template::parse(&self.over).map_err(HandshakeProblem::Template)?;
        let with_secret = over.uses(|source| matches!(source, Source::Secret));
        let primitive = match (self.kind, with_secret) {
            (SignKind::Hmac, false) => {
                let form = KeyForm::parse(self.key.as_deref().unwrap_or("utf8"), false);
                Primitive::Hmac(algorithm, form.map_err(|_unknown| HandshakeProblem::Sign)?)
            }
            (SignKind::Digest, true) if self.key.is_none() => Primitive::Digest(algorithm),
            _ => return Err(HandshakeProblem::Sign),
        };
        Ok(SignForm { primitive, encoding: self.encoding, over })
    }
}

impl When {
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        let is_method = self.method.as_deref().is_none_or(|method| method == view.message.method);
        let json =
            |(pointer, wanted): (&String, &Value)| view.json.is_some_and(|json| json.pointer(pointer) == Some(wanted));
        let header = |(name, wanted): &(HeaderName, String)| {
            single_header(view.message.headers, name).is_ok_and(|value| value == Some(wanted.as_bytes()))
        };
        let value = |source: &Source| view.value(source).ok().flatten().filter(|value| !value.is_empty());
        is_method
            && self.json.iter().all(json)
            && self.header.iter().all(header)
            && self.query.iter().all(|(at, wanted)| value(at).is_some_and(|value| *value == *wanted.as_bytes()))
            && self.present.iter().all(|source| value(source).is_some())
            && self.absent.iter().all(|source| is_absent(source, view))
    }

    pub(super) fn needs_json(&self) -> bool {
        let reads = |source: &Source| matches!(source, Source::Json(_));
        !self.json.is_empty() || self.present.iter().chain(&self.absent).any(reads)
    }
}

/// Returns whether nothing at all stands at a place; an object is something.
fn is_absent(source: &Source, view: &View<'_>) -> bool {
    match source {
        Source::Json(pointer) => view.json.and_then(|json| json.pointer(pointer)).is_none(),
        other => matches!(view.value(other), Ok(None)),
    }
}

/// Parses the name of a reply's header whose value is a template.
pub(super) fn reply_header(name: &str) -> Compiled<HeaderName> {
    let (name, _) =
        super::answer::header(name, "x").ok_or(HandshakeProblem::Reply("this header is the gateway's own"))?;
    Ok(name)
}

/// Makes the value of a header; `None` for bytes that cannot be one.
pub(super) fn header_value(bytes: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(bytes).ok()
}

const fn yes() -> bool {
    true
}
