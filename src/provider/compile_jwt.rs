//! From the written form to a checked JWT scheme and a checked source of keys.
//!
//! Invariants: the algorithms of one token are all for shared secrets or all for public keys; hosts of a source are
//! pinned; templates of a source use only what is known before the signature is.

use super::block::Primitive;
use super::compile::{Compiled, at, in_message, parse_source, parse_template};
use super::jws::JwsAlgorithm;
use super::jwt::{Claim, Jwt, Times};
use super::key::KeyForm;
use super::keys::{KeySource, TokenSource};
use super::location::{AnswerForm, HostPin, KeyKind};
use super::mac::MacAlgorithm;
use super::problem::SchemeFault;
use super::public::SignatureAlgorithm;
use super::scheme::{Algorithm, BlockSpec, KeyFormSpec, KeysSpec, Kind};
use super::template::{Source, Template};

/// An algorithm of whatever family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Hash(MacAlgorithm),
    Signature(SignatureAlgorithm),
    Jws(JwsAlgorithm),
}

impl Algorithm {
    pub(super) fn chosen(self) -> Chosen {
        let public = |algorithm| Chosen::Jws(JwsAlgorithm::Public(algorithm));
        match self {
            Self::Md5 => Chosen::Hash(MacAlgorithm::Md5),
            Self::Sha1 => Chosen::Hash(MacAlgorithm::Sha1),
            Self::Sha256 => Chosen::Hash(MacAlgorithm::Sha256),
            Self::Sha384 => Chosen::Hash(MacAlgorithm::Sha384),
            Self::Sha512 => Chosen::Hash(MacAlgorithm::Sha512),
            Self::Ed25519 => Chosen::Signature(SignatureAlgorithm::Ed25519),
            Self::EcdsaSha256 => Chosen::Signature(SignatureAlgorithm::EcdsaSha256),
            Self::RsaSha1 => Chosen::Signature(SignatureAlgorithm::RsaSha1),
            Self::RsaSha256 => Chosen::Signature(SignatureAlgorithm::RsaSha256),
            Self::RsaSha512 => Chosen::Signature(SignatureAlgorithm::RsaSha512),
            Self::RsaPssSha512 => Chosen::Signature(SignatureAlgorithm::PssSha512),
            Self::Hs256 => Chosen::Jws(JwsAlgorithm::Mac(MacAlgorithm::Sha256)),
            Self::Hs384 => Chosen::Jws(JwsAlgorithm::Mac(MacAlgorithm::Sha384)),
            Self::Hs512 => Chosen::Jws(JwsAlgorithm::Mac(MacAlgorithm::Sha512)),
            Self::Rs256 => public(SignatureAlgorithm::RsaSha256),
            Self::Rs384 => public(SignatureAlgorithm::RsaSha384),
            Self::Rs512 => public(SignatureAlgorithm::RsaSha512),
            Self::Ps256 => public(SignatureAlgorithm::PssSha256),
            Self::Ps384 => public(SignatureAlgorithm::PssSha384),
            Self::Ps512 => public(SignatureAlgorithm::PssSha512),
            Self::Es256 => public(SignatureAlgorithm::Es256),
            Self::Es384 => public(SignatureAlgorithm::Es384),
            Self::Es512 => public(SignatureAlgorithm::Es512),
            Self::EdDsa => public(SignatureAlgorithm::Ed25519),
        }
    }
}

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

/// `keys:` of a block, for proofs that take public keys.
pub(super) fn compile_keys(spec: &BlockSpec, takes_public: bool) -> Compiled<Option<KeySource>> {
    const KEY: &str = "keys";
    let Some(written) = spec.keys.as_deref() else { return Ok(None) };
    if !takes_public {
        return Err((KEY, SchemeFault::KeysForShared));
    }
    let KeysSpec { url, hosts, ending, form, at: pointer, names, post, token } = written;
    let pins = |texts: &[String]| -> Compiled<Vec<HostPin>> {
        texts.iter().map(|text| HostPin::parse(text).ok_or((KEY, SchemeFault::Host))).collect()
    };
    let named = matches!(spec.kind, Kind::Jwt | Kind::Code);
    let template = |text: &String| -> Compiled<Template> {
        let template = parse_template(KEY, text)?;
        let known = |source: &Source| match source {
            Source::Header(_) | Source::Json(_) | Source::Form(_) | Source::Query(_) | Source::Context(_) => true,
            Source::KeyId => named,
            _ => false,
        };
        let all_known = template.values().all(|(source, _)| known(source));
        if all_known { Ok(template) } else { Err((KEY, SchemeFault::NotAPlace)) }
    };
    let token = match token {
        Some(token) => Some(TokenSource {
            url: template(&token.url)?,
            client_id: template(&token.client_id)?,
            client_secret: template(&token.client_secret)?,
            scope: template(&token.scope)?,
        }),
        None => None,
    };
    let kind = match form {
        KeyFormSpec::Pem => KeyKind::Pem,
        KeyFormSpec::X509 => KeyKind::X509,
        KeyFormSpec::Jwks => KeyKind::Jwks,
    };
    let names = pins(if names.is_empty() { &hosts.0 } else { names })?;
    let posted = post.iter().map(|(name, value)| Ok((name.clone(), template(value)?)));
    Ok(Some(KeySource {
        urls: url.0.iter().map(template).collect::<Compiled<_>>()?,
        hosts: pins(&hosts.0)?,
        ending: ending.clone(),
        form: AnswerForm { kind, at: pointer.clone(), names },
        post: posted.collect::<Compiled<_>>()?,
        token,
    }))
}

impl Primitive {
    /// Whether its key is public.
    pub(super) fn is_public(&self) -> bool {
        match self {
            Self::Signature(..) => true,
            Self::Hmac(..) | Self::Digest(_) => false,
        }
    }
}
