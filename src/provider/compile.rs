//! The compilation of the written form into a checked [`Scheme`]: templates parsed, names resolved, algorithms closed,
//! every key of a block either used or refused.
//!
//! Parse, don't validate: every fault of a scheme is found here, when the configuration is loaded, so that verification
//! has no case for it.

use std::time::Duration;

use regex::Regex;

use super::algorithm::{Algorithm, Chosen};
use super::block::{
    Block, BlockConditions, Expected, Pattern, Primitive, Proof, Scheme, SignedText, TimestampForm, Token, Way,
};
use super::border::Places;
use super::compile_jwt::{compile_jwt, compile_keys};
use super::key::KeyForm;
use super::mac::MacAlgorithm;
use super::problem::{SchemeFault, SchemeProblem};
use super::scheme::{BlockSpec, SchemeKind, SignatureSpec, TimestampSpec, TokenScheme, VerifySpec, WhenSpec};
use super::signature::{ListForm, ListShape, SignatureAt};
use super::template::{Source, Template, context_label, header_name};
use super::template_errors::{TemplateProblem, Within};
use super::yaml_forms::Tolerance;

/// The window of a scheme that has a timestamp and no written tolerance.
const TOLERANCE_DEFAULT: Duration = Duration::from_mins(5);
/// The most numbered signature headers.
pub(super) const NUMBERED_MAX: u8 = 100;

impl Scheme {
    /// Checks a written scheme.
    pub fn compile(written: &VerifySpec) -> Result<Self, SchemeProblem> {
        let specs = &written.blocks.0;
        if let [only @ BlockSpec { kind: SchemeKind::None, .. }] = specs.as_slice() {
            refuse_unused(only).map_err(|(key, fault)| SchemeProblem { block: 0, key, fault })?;
            let reason = only.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
            let reason = reason.ok_or(SchemeProblem { block: 0, key: "reason", fault: SchemeFault::NoReason })?;
            return Ok(Self { way: Way::None { reason: reason.to_owned() }, redact: Vec::new() });
        }
        let mut blocks = Vec::with_capacity(specs.len());
        for (block, spec) in specs.iter().enumerate() {
            let compiled = compile_block(spec).map_err(|(key, fault)| SchemeProblem { block, key, fault })?;
            blocks.push(compiled);
        }
        let is_public = |block: &Block| block.proof.takes_public_key();
        if let Some(block) = blocks.iter().position(|block| is_public(block) != blocks.first().is_some_and(is_public)) {
            return Err(SchemeProblem { block, key: "type", fault: SchemeFault::MixedKeys });
        }
        let mut redact: Vec<String> = blocks.iter().flat_map(Block::signature_headers).collect();
        redact.sort();
        redact.dedup();
        Ok(Self { way: Way::Blocks(blocks), redact })
    }
}

pub(super) type Compiled<T> = Result<T, (&'static str, SchemeFault)>;

fn compile_block(spec: &BlockSpec) -> Compiled<Block> {
    refuse_unused(spec)?;
    let proof = match spec.kind {
        SchemeKind::Hmac | SchemeKind::Digest | SchemeKind::Signature => Proof::Signed(Box::new(compile_signed(spec)?)),
        SchemeKind::Token => Proof::Token(compile_token(spec)?),
        SchemeKind::Jwt => Proof::Jwt(Box::new(compile_jwt(spec)?)),
        SchemeKind::Code => Proof::Code(spec.code.ok_or(("code", SchemeFault::Missing(spec.kind)))?),
        SchemeKind::None => return Err(("type", SchemeFault::NoneInList)),
    };
    let mut require = Vec::new();
    for (name, value) in &spec.require {
        require.push((header_name(name).map_err(at("require"))?, Expected::Exactly(value.0.clone())));
    }
    for (name, pattern) in &spec.require_match {
        let name = header_name(name).map_err(at("require_match"))?;
        require.push((name, Expected::Matching(whole("require_match", pattern)?)));
    }
    let mut patterns = Vec::new();
    for (source, pattern) in &spec.pattern {
        let (source, is_optional) = source.strip_suffix('?').map_or((source.as_str(), false), |source| (source, true));
        let source = parse_source("pattern", source)?;
        before_signature("pattern", &source)?;
        patterns.push(Pattern { source, is_optional, whole: whole("pattern", pattern)? });
    }
    let form_names = spec.form_names.as_deref().map(|names| whole("form_names", names)).transpose()?;
    let check = match &spec.check {
        Some((one, other)) => Some((parse_template("check", one)?, parse_template("check", other)?)),
        None => None,
    };
    for (source, _) in check.iter().flat_map(|(one, other)| one.values().chain(other.values())) {
        before_signature("check", source)?;
    }
    let when = spec.when.as_ref().map(compile_when).transpose()?.unwrap_or_default();
    let keys = compile_keys(spec, &proof)?;
    let mut bind = Vec::new();
    for (label, text) in &spec.bind {
        let template = parse_template("bind", text)?;
        for (source, _) in template.values() {
            before_signature("bind", source)?;
        }
        bind.push((context_label(label), template));
    }
    Ok(Block { when, require, patterns, form_names, check, bind, json_body: spec.json_body, proof, keys })
}

/// Refuses a written key that has no effect.
fn refuse_unused(spec: &BlockSpec) -> Compiled<()> {
    let signed = matches!(spec.kind, SchemeKind::Hmac | SchemeKind::Digest | SchemeKind::Signature);
    let keyed = matches!(spec.kind, SchemeKind::Hmac | SchemeKind::Signature);
    let token = spec.kind == SchemeKind::Token;
    let jwt = spec.kind == SchemeKind::Jwt;
    let any = spec.kind != SchemeKind::None;
    let written = [
        ("header", spec.header.is_some(), signed || token || jwt),
        ("when", spec.when.is_some(), any),
        ("require", !spec.require.is_empty(), any),
        ("require_match", !spec.require_match.is_empty(), any),
        ("pattern", !spec.pattern.is_empty(), any),
        ("form_names", spec.form_names.is_some(), signed),
        ("check", spec.check.is_some(), any),
        ("bind", !spec.bind.is_empty(), any),
        ("json_body", spec.json_body, any),
        ("algorithm", spec.algorithm.is_some(), signed || jwt),
        ("key", spec.key.is_some(), keyed || jwt),
        ("signature", spec.signature.is_some(), signed),
        ("list", spec.list.is_some(), signed),
        ("prefix", spec.prefix.is_some(), signed || token || jwt),
        ("encoding", spec.encoding.is_some(), signed),
        ("signed", spec.signed.is_some(), signed),
        ("may_hold_separator", spec.may_hold_separator.is_some(), signed),
        ("prehash", spec.prehash.is_some(), spec.kind == SchemeKind::Signature),
        ("timestamp", spec.timestamp.is_some(), signed),
        ("id", spec.id.is_some(), signed),
        ("each", spec.each.is_some(), signed),
        ("pair", spec.pair, signed),
        ("url_ports", spec.url_ports, signed),
        ("from", spec.from.is_some(), token || jwt),
        ("scheme", spec.scheme.is_some(), token),
        ("claims", !spec.claims.is_empty(), jwt),
        ("require_claims", !spec.require_claims.is_empty(), jwt),
        ("require_exp", spec.require_exp, jwt),
        ("max_age", spec.max_age.is_some(), jwt),
        ("future", spec.future.is_some(), jwt),
        ("leeway", spec.leeway.is_some(), jwt),
        ("keys", spec.keys.is_some(), any),
        ("code", spec.code.is_some(), spec.kind == SchemeKind::Code),
        ("reason", spec.reason.is_some(), spec.kind == SchemeKind::None),
    ];
    match written.iter().find(|(_, is_written, has_effect)| *is_written && !has_effect) {
        Some((key, ..)) => Err((key, SchemeFault::Unwanted(spec.kind))),
        None => Ok(()),
    }
}

fn compile_token(spec: &BlockSpec) -> Compiled<Token> {
    let at = match (&spec.header, &spec.from) {
        (Some(header), None) => Source::header(header).map_err(at("header"))?,
        (None, Some(source)) => parse_source("from", source)?,
        (None, None) => return Err(("header", SchemeFault::Missing(spec.kind))),
        (Some(_), Some(_)) => return Err(("from", SchemeFault::OnePlace)),
    };
    in_message("from", &at)?;
    let basic = spec.scheme == Some(TokenScheme::Basic);
    Ok(Token { at, prefix: spec.prefix.clone().unwrap_or_default(), basic })
}

fn compile_signed(spec: &BlockSpec) -> Compiled<SignedText> {
    let written = spec.signed.as_ref().ok_or(("signed", SchemeFault::Missing(spec.kind)))?;
    let messages = written.0.iter().map(|text| parse_template("signed", text)).collect::<Compiled<Vec<_>>>()?;
    let timestamp = spec.timestamp.as_ref().map(compile_timestamp).transpose()?;
    let id = match &spec.id {
        Some(id) => Some(one_place("id", id.header.as_deref(), id.from.as_deref())?),
        None => None,
    };
    let defined = [
        ("ts", timestamp.is_some(), matches_timestamp as fn(&Source) -> bool),
        ("id", id.is_some(), |source| matches!(source, Source::Id)),
        ("sig:…", spec.list.is_some(), |source| matches!(source, Source::Part(_))),
        ("secret", spec.kind == SchemeKind::Digest, |source| matches!(source, Source::Secret)),
        ("kid", false, |source| matches!(source, Source::KeyId)),
    ];
    for (name, is_defined, matches) in defined {
        let used = |(message, text): (&Template, &String)| {
            let at = message.find(|source, _| source.uses(&matches))?;
            Some(Within::new(text, at))
        };
        if let Some(within) = messages.iter().zip(&written.0).find_map(used).filter(|_| !is_defined) {
            return Err(("signed", SchemeFault::NoValue(name, Some(within))));
        }
    }
    // A digest without the secret in its text could be made by anyone.
    if spec.kind == SchemeKind::Digest
        && !messages.iter().all(|message| message.uses(|it| matches!(it, Source::Secret)))
    {
        return Err(("signed", SchemeFault::NoValue("secret", None)));
    }
    let renewable = |message: &Template| timestamp.as_ref().is_some_and(|form| !message.fixes(&form.at));
    if messages.iter().any(renewable) {
        return Err(("timestamp", SchemeFault::TimestampUnsigned));
    }
    let open =
        spec.may_hold_separator.as_deref().map(|source| parse_source("may_hold_separator", source)).transpose()?;
    if let Some(open) = &open {
        in_message("may_hold_separator", open)?;
        if !messages.iter().any(|message| message.uses(|source| source == open)) {
            return Err(("may_hold_separator", SchemeFault::NotSigned));
        }
    }
    let places = Places {
        id: id.as_ref(),
        timestamp: timestamp.as_ref().map(|form| (&form.at, form.unit)),
        open: open.as_ref(),
    };
    let borders = messages.iter().map(|message| message.borders(&places)).collect();
    Ok(SignedText {
        primitive: compile_primitive(spec)?,
        at: compile_place(spec)?,
        list: compile_list(spec)?,
        prefix: spec.prefix.clone().unwrap_or_default(),
        encoding: spec.encoding.ok_or(("encoding", SchemeFault::Missing(spec.kind)))?,
        messages,
        borders,
        prehash: spec.prehash.map(compile_prehash).transpose()?,
        timestamp,
        id,
        each: spec.each.as_deref().map(compile_path).transpose()?,
        pair: spec.pair,
        url_ports: spec.url_ports,
    })
}

fn compile_prehash(algorithm: Algorithm) -> Compiled<MacAlgorithm> {
    match algorithm.chosen() {
        Chosen::Hash(hash) => Ok(hash),
        Chosen::Signature(_) | Chosen::Jws(_) => Err(("prehash", SchemeFault::WrongAlgorithm(SchemeKind::Digest))),
    }
}

fn matches_timestamp(source: &Source) -> bool {
    matches!(source, Source::Timestamp)
}

fn compile_primitive(spec: &BlockSpec) -> Compiled<Primitive> {
    let written = spec.algorithm.as_ref().ok_or(("algorithm", SchemeFault::Missing(spec.kind)))?;
    let [algorithm] = written.0.as_slice() else { return Err(("algorithm", SchemeFault::OnePlace)) };
    let is_public = spec.kind == SchemeKind::Signature;
    let written = spec.key.as_deref().unwrap_or(if is_public { "pem" } else { "utf8" });
    let form = KeyForm::parse(written, is_public).map_err(|problem| ("key", SchemeFault::KeyForm(problem)))?;
    match (spec.kind, algorithm.chosen()) {
        (SchemeKind::Hmac, Chosen::Hash(mac)) => Ok(Primitive::Hmac(mac, form)),
        (SchemeKind::Digest, Chosen::Hash(mac)) => Ok(Primitive::Digest(mac)),
        (SchemeKind::Signature, Chosen::Signature(signature)) => Ok(Primitive::Signature(signature, form)),
        _ => Err(("algorithm", SchemeFault::WrongAlgorithm(spec.kind))),
    }
}

fn compile_place(spec: &BlockSpec) -> Compiled<SignatureAt> {
    let written = match (&spec.header, &spec.signature) {
        (Some(header), None) => &SignatureSpec { header: Some(header.clone()), ..SignatureSpec::default() },
        (None, Some(signature)) => signature,
        (None, None) => return Err(("header", SchemeFault::Missing(spec.kind))),
        (Some(_), Some(_)) => return Err(("signature", SchemeFault::OnePlace)),
    };
    let SignatureSpec { header, also, any_header, numbered, max, from } = written;
    let names: Vec<String> = match (header, any_header.as_slice(), numbered, from) {
        (Some(header), [], None, None) => std::iter::once(header.clone()).chain(also.iter().cloned()).collect(),
        (None, [_, ..], None, None) if also.is_empty() => any_header.clone(),
        (None, [], Some(prefix), None) if also.is_empty() => {
            let max = max.unwrap_or(NUMBERED_MAX);
            if max == 0 || max > NUMBERED_MAX {
                return Err(("signature", SchemeFault::Numbered));
            }
            (1..=max).map(|number| format!("{prefix}{number}")).collect()
        }
        (None, [], None, Some(source)) if also.is_empty() => {
            let source = parse_source("signature", source)?;
            in_message("signature", &source)?;
            return Ok(SignatureAt::Value(source));
        }
        _ => return Err(("signature", SchemeFault::OnePlace)),
    };
    let names = names.iter().map(|name| header_name(name)).collect::<Result<_, _>>();
    Ok(SignatureAt::Headers { names: names.map_err(at("signature"))?, first_is_required: header.is_some() })
}

fn compile_list(spec: &BlockSpec) -> Compiled<Option<ListForm>> {
    let Some(list) = &spec.list else { return Ok(None) };
    let any_of = list.separator.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let separators: Vec<char> = any_of.unwrap_or(&list.separator).chars().collect();
    let one_of_several = any_of.is_some() || separators.len() == 1;
    if separators.is_empty() || !one_of_several {
        return Err(("list", SchemeFault::List));
    }
    let shape = match (&list.assign, &list.field, list.positional) {
        (Some(assign), Some(field), false) if !assign.is_empty() => {
            let field = match field.strip_prefix("ctx:") {
                Some(label) => Source::Context(context_label(label)),
                None => Source::Part(field.clone()),
            };
            ListShape::Named { assign: assign.clone(), field }
        }
        (None, None, true) => ListShape::Positional,
        _ => return Err(("list", SchemeFault::List)),
    };
    Ok(Some(ListForm { separators, trim: list.trim, unique: list.unique.clone(), shape }))
}

fn compile_timestamp(spec: &TimestampSpec) -> Compiled<TimestampForm> {
    let tolerance = match (spec.tolerance, spec.tol) {
        (Some(_), Some(_)) => return Err(("timestamp", SchemeFault::TwoTolerances)),
        (Some(tolerance), None) | (None, Some(tolerance)) => tolerance,
        (None, None) => Tolerance::Within(TOLERANCE_DEFAULT),
    };
    if tolerance == Tolerance::Within(Duration::ZERO) {
        return Err(("timestamp", SchemeFault::NoTolerance));
    }
    Ok(TimestampForm {
        at: one_place("timestamp", spec.header.as_deref(), spec.from.as_deref())?,
        unit: spec.unit,
        tolerance: match tolerance {
            Tolerance::Within(window) => Some(window),
            Tolerance::Unbounded => None,
        },
        sdk_window: spec.sdk_window,
    })
}

fn compile_when(spec: &WhenSpec) -> Compiled<BlockConditions> {
    let header = match (&spec.header, &spec.is, &spec.matches) {
        (None, None, None) => None,
        (Some(name), is, matches) => {
            let expected = match (is, matches) {
                (None, None) => Expected::Present,
                (Some(value), None) => Expected::Exactly(value.0.clone()),
                (None, Some(pattern)) => Expected::Matching(whole("when", pattern)?),
                (Some(_), Some(_)) => return Err(("when", SchemeFault::OnePlace)),
            };
            Some((header_name(name).map_err(at("when"))?, expected))
        }
        (None, ..) => return Err(("when", SchemeFault::OnePlace)),
    };
    Ok(BlockConditions {
        header,
        header_absent: spec.header_absent.as_deref().map(header_name).transpose().map_err(at("when"))?,
        content_type: spec.content_type.as_ref().map(|kind| kind.to_ascii_lowercase()),
        query: spec.query.clone(),
        query_absent: spec.query_absent.clone(),
        no_body: spec.no_body,
    })
}

fn compile_path(written: &str) -> Compiled<Vec<String>> {
    let steps = written.strip_prefix('/').ok_or(("each", SchemeFault::Path))?;
    Ok(steps.split('/').map(str::to_owned).collect())
}

fn one_place(key: &'static str, header: Option<&str>, from: Option<&str>) -> Compiled<Source> {
    let source = match (header, from) {
        (Some(header), None) => Source::header(header).map_err(at(key))?,
        (None, Some(source)) => parse_source(key, source)?,
        _ => return Err((key, SchemeFault::OnePlace)),
    };
    if !matches!(source, Source::Part(_)) {
        in_message(key, &source)?;
    }
    Ok(source)
}

/// Checks that a source is a single value that the sender chose, not the body as a whole or a value of ours.
pub(super) fn in_message(key: &'static str, source: &Source) -> Compiled<()> {
    match source {
        Source::Header(_) | Source::Json(_) | Source::Form(_) | Source::Query(_) => Ok(()),
        _ => Err((key, SchemeFault::NotAPlace)),
    }
}

/// Checks that a source is known before the signature is taken apart.
fn before_signature(key: &'static str, source: &Source) -> Compiled<()> {
    let later =
        |it: &Source| matches!(it, Source::Part(_) | Source::Timestamp | Source::Id | Source::Secret | Source::KeyId);
    if source.uses(&later) { Err((key, SchemeFault::NotAPlace)) } else { Ok(()) }
}

pub(super) fn parse_template(key: &'static str, text: &str) -> Compiled<Template> {
    Template::parse(text).map_err(at(key))
}

pub(super) fn parse_source(key: &'static str, text: &str) -> Compiled<Source> {
    Source::parse(text).map_err(at(key))
}

pub(super) fn at(key: &'static str) -> impl Fn(TemplateProblem) -> (&'static str, SchemeFault) {
    move |problem| (key, SchemeFault::Template(problem))
}

/// Compiles a regular expression that has to match from the first character to the last.
fn whole(key: &'static str, pattern: &str) -> Compiled<Regex> {
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|problem| (key, SchemeFault::Regex(problem.to_string())))
}
