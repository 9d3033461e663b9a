//! Public keys in the forms in which they are published, and sets of them with ids.
//!
//! The id that the message names decides on the key of a set; the scheme alone decides on the algorithm. Invariants: a
//! point of small order, a short RSA key, a private key and a key that is not for signatures are refused; a set is
//! bounded. A certificate is only a wrapper here: its trust is judged where it is fetched.

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::Value;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key::KeyFault;
use super::public::{PublicKey, RsaKey, SignatureAlgorithm};

/// The most keys of one set, and the most certificates of one chain.
const KEYS_MAX: usize = 100;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Public keys, each perhaps with its id.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<NamedKey>,
}

/// A public key and the id that it goes by.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    /// The `kid`; a key without one answers to any.
    pub(super) id: Option<String>,
    /// The only algorithm that the key is for, by its name in JWTs.
    pub(super) algorithm: Option<String>,
    pub(super) key: PublicKey,
}

impl KeySet {
    /// Makes a set of one key without an id.
    pub(super) fn of(key: PublicKey) -> Self {
        Self { keys: vec![NamedKey { id: None, algorithm: None, key }] }
    }

    /// Parses a JWK or a JWK set. Keys that are of no use for signatures are left out; one at least must be left.
    pub(super) fn from_jwks(text: &[u8]) -> Result<Self, KeyFault> {
        let json = serde_json::from_slice(text).ok().ok_or(KeyFault::Unreadable("a JWK or a JWK set"))?;
        Self::from_jwks_value(&json)
    }

    pub(super) fn from_jwks_value(json: &Value) -> Result<Self, KeyFault> {
        let Some(listed) = json.get("keys") else { return Ok(Self { keys: vec![jwk(json)?] }) };
        let listed = listed.as_array().ok_or(KeyFault::Unreadable("a JWK or a JWK set"))?;
        if listed.len() > KEYS_MAX {
            return Err(KeyFault::TooMany);
        }
        let keys: Vec<NamedKey> = listed.iter().filter_map(|member| jwk(member).ok()).collect();
        if keys.is_empty() { Err(KeyFault::Empty) } else { Ok(Self { keys }) }
    }

    /// Parses a key in any published form: PEM, a certificate in PEM, a JWK or a JWK set, bare base64.
    pub(super) fn from_any(text: &[u8]) -> Result<Self, KeyFault> {
        let text = text.trim_ascii();
        if text.starts_with(b"{") {
            return Self::from_jwks(text);
        }
        if text.starts_with(b"-----BEGIN CERTIFICATE-----") {
            return PublicKey::from_certificate(text).map(Self::of);
        }
        PublicKey::from_pem(text).map(Self::of)
    }

    /// Gives this id to the keys without an id.
    pub(super) fn called(mut self, name: &str) -> Self {
        for named in &mut self.keys {
            named.id.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// Removes the keys that are not for any of the algorithms; an error if none is left.
    pub(super) fn fit_for(mut self, algorithms: &[SignatureAlgorithm]) -> Result<Self, KeyFault> {
        self.keys.retain(|named| algorithms.iter().any(|algorithm| named.fits(*algorithm)));
        if self.keys.is_empty() { Err(KeyFault::OtherAlgorithm) } else { Ok(self) }
    }

    /// Returns the keys for this algorithm.
    pub(super) fn all(&self, algorithm: SignatureAlgorithm) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |named| named.fits(algorithm)).map(|named| &named.key)
    }

    /// Returns the keys for this algorithm that may have signed a message which names this id, or none. A key with an
    /// id answers to that id only.
    pub(super) fn named(&self, id: Option<&str>, algorithm: SignatureAlgorithm) -> impl Iterator<Item = &PublicKey> {
        let called = move |named: &&NamedKey| named.id.is_none() || named.id.as_deref() == id;
        self.keys.iter().filter(called).filter(move |named| named.fits(algorithm)).map(|named| &named.key)
    }
}

impl NamedKey {
    fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        let pinned = self.algorithm.as_deref().is_none_or(|only| algorithm.jwa() == Some(only));
        pinned && self.key.fits(algorithm)
    }
}

fn jwk(json: &Value) -> Result<NamedKey, KeyFault> {
    const UNREADABLE: KeyFault = KeyFault::Unreadable("a JWK or a JWK set");
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let bytes = |name: &str| text(name).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok()).ok_or(UNREADABLE);
    let for_signatures = text("use").is_none_or(|usage| usage == "sig")
        && json.get("key_ops").and_then(Value::as_array).is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    // One provider dates the end of a key in the key itself.
    let expired = json.get("expired_at").is_some_and(|at| !at.is_null());
    if !for_signatures || expired || json.get("d").is_some() {
        return Err(KeyFault::NotForSignatures);
    }
    let point = |length: usize| -> Result<Vec<u8>, KeyFault> {
        // Some leave out the zeros in front, which the standard does not allow.
        let (x, y) = (padded(&bytes("x")?, length)?, padded(&bytes("y")?, length)?);
        Ok([&[4], x.as_slice(), y.as_slice()].concat())
    };
    let key = match (text("kty"), text("crv")) {
        (Some("EC"), Some("P-256")) => p256_key(&point(32)?),
        (Some("EC"), Some("P-384")) => p384_key(&point(48)?),
        (Some("EC"), Some("P-521")) => p521_key(&point(66)?),
        (Some("OKP"), Some("Ed25519")) => ed25519_key(&bytes("x")?),
        (Some("RSA"), _) => rsa_key(&bytes("n")?, &bytes("e")?),
        _ => Err(UNREADABLE),
    };
    Ok(NamedKey { id: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), key: key? })
}

impl PublicKey {
    /// Parses a SubjectPublicKeyInfo (RFC 5280).
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, KeyFault> {
        const UNREADABLE: KeyFault = KeyFault::Unreadable("a public key (SubjectPublicKeyInfo)");
        let Ok((rest, info)) = SubjectPublicKeyInfo::from_der(der) else { return Err(UNREADABLE) };
        if !rest.is_empty() {
            return Err(UNREADABLE);
        }
        let bytes = info.subject_public_key.data.as_ref();
        // RSA has a NULL in this place.
        let curve = info.algorithm.parameters.as_ref().filter(|curve| curve.tag() == Tag::Oid);
        let curve = curve.and_then(|curve| curve.as_oid().ok());
        match (info.algorithm.algorithm.to_id_string().as_str(), curve.map(|curve| curve.to_id_string()).as_deref()) {
            ("1.3.101.112", None) => ed25519_key(bytes),
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => p256_key(bytes),
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => p384_key(bytes),
            ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => p521_key(bytes),
            ("1.2.840.113549.1.1.1", None) => Self::from_pkcs1(bytes),
            _ => Err(UNREADABLE),
        }
    }

    /// Parses an RSAPublicKey (RFC 8017).
    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyFault> {
        match RSAPublicKey::from_der(der) {
            Ok(([], key)) => rsa_key(key.modulus, key.exponent),
            _ => Err(KeyFault::Unreadable("a public key (RSA)")),
        }
    }

    /// Parses PEM, with or without its lines; without BEGIN and END, base64 of a SubjectPublicKeyInfo.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, KeyFault> {
        const UNREADABLE: KeyFault = KeyFault::Unreadable("a PEM public key");
        if let Some(der) = pem(text, "RSA PUBLIC KEY") {
            return Self::from_pkcs1(&der);
        }
        let der = pem(text, "PUBLIC KEY").or_else(|| BASE64.decode(&unwrapped(text)).ok());
        Self::from_spki(&der.ok_or(UNREADABLE)?)
    }

    /// Returns the public key of a certificate in PEM, of the first of several.
    pub(super) fn from_certificate(text: &[u8]) -> Result<Self, KeyFault> {
        const UNREADABLE: KeyFault = KeyFault::Unreadable("a PEM certificate");
        let ders = certificates(text).ok_or(UNREADABLE)?;
        let (_, certificate) = ders
            .first()
            .and_then(|der| x509_parser::parse_x509_certificate(der).ok())
            .filter(|(rest, _)| rest.is_empty())
            .ok_or(UNREADABLE)?;
        Self::from_spki(certificate.public_key().raw)
    }

    /// Makes a key of its bytes alone, for algorithms that have such a form.
    pub(super) fn from_raw(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Result<Self, KeyFault> {
        match algorithm {
            SignatureAlgorithm::Ed25519 => ed25519_key(bytes),
            SignatureAlgorithm::EcdsaSha1 | SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::Es256 => {
                p256_key(bytes)
            }
            SignatureAlgorithm::Es384 => p384_key(bytes),
            SignatureAlgorithm::Es512 => p521_key(bytes),
            SignatureAlgorithm::RsaSha1
            | SignatureAlgorithm::RsaSha256
            | SignatureAlgorithm::RsaSha384
            | SignatureAlgorithm::RsaSha512
            | SignatureAlgorithm::PssSha256
            | SignatureAlgorithm::PssSha384
            | SignatureAlgorithm::PssSha512 => Self::from_pkcs1(bytes),
        }
    }
}

fn ed25519_key(raw: &[u8]) -> Result<PublicKey, KeyFault> {
    let raw: &[u8; 32] = raw.try_into().ok().ok_or(KeyFault::Length)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(raw).ok().ok_or(KeyFault::NotOnCurve)?;
    if key.is_weak() { Err(KeyFault::Weak) } else { Ok(PublicKey::Ed25519(key)) }
}

fn p256_key(point: &[u8]) -> Result<PublicKey, KeyFault> {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(PublicKey::P256).ok_or(KeyFault::NotOnCurve)
}

/// Makes a P-384 key. A point off the curve is only detected at verification: nothing is right under it.
fn p384_key(point: &[u8]) -> Result<PublicKey, KeyFault> {
    let uncompressed = point.len() == 97 && point.first() == Some(&4);
    if uncompressed { Ok(PublicKey::P384(Arc::from(point))) } else { Err(KeyFault::NotOnCurve) }
}

fn p521_key(point: &[u8]) -> Result<PublicKey, KeyFault> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().ok_or(KeyFault::NotOnCurve)?;
    Ok(PublicKey::P521(Box::new(key)))
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyFault> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(modulus.len() * 8).saturating_sub(unused)) || !(1..=4).contains(&exponent.len()) {
        return Err(KeyFault::Length);
    }
    Ok(PublicKey::Rsa(Arc::new(RsaKey { modulus: modulus.to_vec(), exponent: exponent.to_vec() })))
}

/// Returns a coordinate at its full length.
fn padded(number: &[u8], length: usize) -> Result<Vec<u8>, KeyFault> {
    let number = without_zeros(number);
    let zeros = length.checked_sub(number.len()).ok_or(KeyFault::Length)?;
    Ok([vec![0; zeros].as_slice(), number].concat())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Decodes the text between the BEGIN and END lines of a PEM text that holds one thing.
fn pem(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    BASE64.decode(&unwrapped(body.as_bytes())).ok()
}

/// Returns the certificates of a PEM text; `None` for none, and for more than `KEYS_MAX`.
pub(super) fn certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = std::str::from_utf8(text).ok()?.trim();
    let mut ders = Vec::new();
    while let Some((one, after)) = rest.split_once(END) {
        ders.push(pem(format!("{}{END}", one.trim()).as_bytes(), "CERTIFICATE")?);
        rest = after.trim_start();
    }
    (rest.is_empty() && (1..=KEYS_MAX).contains(&ders.len())).then_some(ders)
}

fn unwrapped(base64: &[u8]) -> Vec<u8> {
    base64.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}
