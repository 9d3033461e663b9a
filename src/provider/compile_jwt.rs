//! The compilation of a written JWT scheme and of a written source of keys.
//!
//! Invariants: the algorithms of one token are all for shared secrets or all for public keys; hosts of a source are
//! pinned; templates of a source use only what is known before the signature is.

use super::algorithm::Chosen;
use super::block::{Primitive, Proof};
use super::compile::{Compiled, at, in_message, parse_source, parse_template};
use super::jws::JwsAlgorithm;
use super::jwt::{Claim, Jwt, Times};
use super::key::KeyForm;
use super::keys::{KeySource, TokenSource};
use super::location::{AnswerForm, HostPin, KeyKind};
use super::problem::SchemeFault;
use super::scheme::{BlockSpec, KeyFormSpec, KeysSpec, SchemeKind};
use super::template::{Source, Template};

const KEYS: &str = "keys";

pub(super) fn compile_jwt(spec: &BlockSpec) -> Compiled<Jwt> {
    let place = match (&spec.header, &spec.from) {
        (Some(header), None) => Source::header(header).map_err(at("header"))?,
        (None, Some(source)) => parse_source("from", source)?,
        (None, None) => return Err(("header", SchemeFault::Missing(spec.kind))),
        (Some(_), Some(_)) => return Err(("from", SchemeFault::OnePlace)),
    };
    if !matches!(place, Source::Body) {
        in_message("from", &place)?;
    }
    let written = spec.algorithm.as_ref().ok_or(("algorithm", SchemeFault::Missing(spec.kind)))?;
    let algorithms = written.0.iter().map(|algorithm| match algorithm.chosen() {
        Chosen::Jws(algorithm) => Ok(algorithm),
        Chosen::Hash(_) | Chosen::Signature(_) => Err(("algorithm", SchemeFault::WrongAlgorithm(spec.kind))),
    });
    let algorithms = algorithms.collect::<Compiled<Vec<_>>>()?;
    let is_public = algorithms.iter().any(|algorithm| matches!(algorithm, JwsAlgorithm::Public(_)));
    if is_public && algorithms.iter().any(|algorithm| matches!(algorithm, JwsAlgorithm::Mac(_))) {
        return Err(("algorithm", SchemeFault::MixedKeys));
    }
    let key = match (spec.key.as_deref(), is_public) {
        (None, true) => KeyForm::AnyPublic,
        (None, false) => KeyForm::Utf8,
        (Some(text), _) => KeyForm::parse(text, is_public).map_err(|problem| ("key", SchemeFault::KeyForm(problem)))?,
    };
    if spec.claims.is_empty() && !matches!(place, Source::Body) {
        return Err(("claims", SchemeFault::NoClaims));
    }
    let mut claims = Vec::with_capacity(spec.claims.len());
    for (name, value) in &spec.claims {
        let value = parse_template("claims", value)?;
        if value.uses(|source| matches!(source, Source::Part(_) | Source::Timestamp | Source::Id | Source::Secret)) {
            return Err(("claims", SchemeFault::NotAPlace));
        }
        let (name, with_body) = name.strip_prefix('?').map_or((name.as_str(), false), |name| (name, true));
        claims.push(Claim { name: name.to_owned(), with_body, value });
    }
    let times = Times {
        max_age: spec.max_age.map(|span| span.0),
        future: spec.future.map(|span| span.0),
        require_exp: spec.require_exp,
        leeway: spec.leeway.map(|span| span.0).unwrap_or_default(),
    };
    let prefix = spec.prefix.clone().unwrap_or_default();
    Ok(Jwt { at: place, prefix, algorithms, key, claims, require_claims: spec.require_claims.clone(), times })
}

/// Compiles `keys:` of a block, for proofs that take public keys; or the places that a scheme in code knows by itself.
pub(super) fn compile_keys(spec: &BlockSpec, proof: &Proof) -> Compiled<Vec<KeySource>> {
    let by_itself = match (&spec.keys, proof) {
        (None, Proof::Code(special)) => special.keys(),
        _ => None,
    };
    let written = spec.keys.iter().flat_map(|keys| &keys.0).chain(&by_itself);
    let sources = written.map(|one| compile_source(one, spec.kind)).collect::<Compiled<Vec<_>>>()?;
    if !sources.is_empty() && !proof.takes_public_key() {
        return Err((KEYS, SchemeFault::KeysForShared));
    }
    let pairs = matches!(proof, Proof::Signed(signed) if signed.pair);
    if sources.len() > 1 && !pairs { Err((KEYS, SchemeFault::OnePlace)) } else { Ok(sources) }
}

fn compile_source(written: &KeysSpec, kind: SchemeKind) -> Compiled<KeySource> {
    let KeysSpec { url, hosts, ending, form, at: pointer, names, post, token } = written;
    let template = |text: &String| source_template(text, kind);
    let token = match token {
        Some(token) => Some(TokenSource {
            url: template(&token.url)?,
            client_id: template(&token.client_id)?,
            client_secret: template(&token.client_secret)?,
            scope: template(&token.scope)?,
        }),
        None => None,
    };
    let form = match form {
        KeyFormSpec::Pem => KeyKind::Pem,
        KeyFormSpec::X509 => KeyKind::X509,
        KeyFormSpec::Jwks => KeyKind::Jwks,
    };
    let names = pins(if names.is_empty() { &hosts.0 } else { names })?;
    let posted = post.iter().map(|(name, value)| Ok((name.clone(), template(value)?)));
    let (url, hosts) = (template(url)?, pins(&hosts.0)?);
    // Any host is allowed only if the operator chooses the URL.
    if hosts.iter().any(HostPin::is_any) && !url.is_configured() {
        return Err((KEYS, SchemeFault::Host));
    }
    Ok(KeySource {
        url,
        hosts,
        ending: ending.clone(),
        form: AnswerForm { kind: form, at: pointer.clone(), names },
        post: posted.collect::<Compiled<_>>()?,
        token,
    })
}

fn pins(texts: &[String]) -> Compiled<Vec<HostPin>> {
    texts.iter().map(|text| HostPin::parse(text).ok_or((KEYS, SchemeFault::Host))).collect()
}

/// Compiles a template whose values are known before the signature is.
fn source_template(text: &str, kind: SchemeKind) -> Compiled<Template> {
    let template = parse_template(KEYS, text)?;
    let known = |source: &Source| match source {
        Source::Header(_) | Source::Json(_) | Source::Form(_) | Source::Query(_) | Source::Context(_) => true,
        Source::KeyId => matches!(kind, SchemeKind::Jwt | SchemeKind::Code),
        _ => false,
    };
    let all_known = template.values().all(|(source, _)| known(source));
    if all_known { Ok(template) } else { Err((KEYS, SchemeFault::NotAPlace)) }
}

impl Primitive {
    /// Returns whether its key is public.
    pub(super) fn is_public(&self) -> bool {
        match self {
            Self::Signature(..) => true,
            Self::Hmac(..) | Self::Digest(_) => false,
        }
    }
}
