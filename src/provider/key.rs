//! Keys: the configured text of a secret becomes the bytes of a key.
//!
//! Invariants: no key is empty, before or after decoding, because anyone can sign with an empty key; a public key of
//! small order is refused; problems name the secret and never show its bytes.
//!
//! Keys that have to be fetched (JWKS, certificates by URL) are not here: fetching needs a pinned host and a cache.

use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use regex::Regex;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::block::{Block, Primitive, Proof};
use super::jws::JwsAlgorithm;
use super::jwt::Jwt;
use super::keyset::KeySet;
use super::mac::KeyedMac;
use super::public::{PublicKey, SignatureAlgorithm};
use super::special::{SecretForm, Special};
use crate::secret::{Secret, SecretName};

/// The form in which the text of a secret holds a key.
#[derive(Clone, Debug)]
pub(super) enum KeyForm {
    Utf8,
    Base64,
    Hex,
    /// An optional `whsec_`, then base64.
    Whsec,
    /// An optional `v1,`, then as `Whsec`.
    V1Whsec,
    Sha1,
    Sha256,
    /// Text in Unicode's compatibility form.
    Nfkd,
    /// The text without what the expression matches.
    Strip(Regex),
    Pem,
    /// The public key of a certificate.
    X509,
    /// A JWK or a JWK set.
    Jwk,
    /// PEM, a certificate or a JWK.
    AnyPublic,
    SpkiBase64,
    RawHex,
    RawBase64,
}

/// The problem of an unknown form of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownKeyForm {
    is_public: bool,
}

impl fmt::Display for UnknownKeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_public {
            "a public key is pem, x509, jwk, any (of these three), spki-b64, raw-hex or raw-b64"
        } else {
            "a key is utf8, base64, hex, whsec, v1-whsec, sha1, sha256, nfkd or strip:<regular expression>"
        })
    }
}

impl KeyForm {
    pub(super) fn parse(text: &str, is_public: bool) -> Result<Self, UnknownKeyForm> {
        let unknown = UnknownKeyForm { is_public };
        Ok(match (text, is_public) {
            ("utf8", false) => Self::Utf8,
            ("base64", false) => Self::Base64,
            ("hex", false) => Self::Hex,
            ("whsec", false) => Self::Whsec,
            ("v1-whsec", false) => Self::V1Whsec,
            ("sha1", false) => Self::Sha1,
            ("sha256", false) => Self::Sha256,
            ("nfkd", false) => Self::Nfkd,
            ("pem", true) => Self::Pem,
            ("x509", true) => Self::X509,
            ("jwk", true) => Self::Jwk,
            ("any", true) => Self::AnyPublic,
            ("spki-b64", true) => Self::SpkiBase64,
            ("raw-hex", true) => Self::RawHex,
            ("raw-b64", true) => Self::RawBase64,
            (other, false) => {
                let pattern = other.strip_prefix("strip:").and_then(|pattern| Regex::new(pattern).ok());
                Self::Strip(pattern.ok_or(unknown)?)
            }
            (_, true) => return Err(unknown),
        })
    }

    /// Returns the public keys that the text stands for; those for none of the algorithms are left out.
    pub(super) fn public(&self, algorithms: &[SignatureAlgorithm], text: &[u8]) -> Result<KeySet, KeyFault> {
        let first = algorithms.first().copied().ok_or(KeyFault::OtherAlgorithm)?;
        let set = match self {
            Self::Pem => KeySet::of(PublicKey::from_pem(text)?),
            Self::X509 => KeySet::of(PublicKey::from_certificate(text)?),
            Self::Jwk => KeySet::from_jwks(text)?,
            Self::AnyPublic => KeySet::from_any(text)?,
            // Some providers' pages show the lines of PEM around it.
            Self::SpkiBase64 => KeySet::of(PublicKey::from_pem(text).map_err(|fault| self.named(fault))?),
            Self::RawHex | Self::RawBase64 => KeySet::of(PublicKey::from_raw(first, &self.read(text)?)?),
            Self::Utf8
            | Self::Base64
            | Self::Hex
            | Self::Whsec
            | Self::V1Whsec
            | Self::Sha1
            | Self::Sha256
            | Self::Nfkd
            | Self::Strip(_) => return Err(KeyFault::Unreadable(Self::AnyPublic.name())),
        };
        set.fit_for(algorithms)
    }

    /// Returns the bytes that the text of a shared secret stands for.
    pub(super) fn read(&self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let bytes = match self {
            Self::Utf8 => Some(text.to_vec()),
            Self::Nfkd => std::str::from_utf8(text).ok().map(|text| text.nfkd().collect::<String>().into_bytes()),
            Self::Base64 | Self::RawBase64 | Self::SpkiBase64 => base64(text),
            Self::Hex | Self::RawHex => HEXLOWER_PERMISSIVE.decode(text).ok(),
            Self::Whsec => whsec(text),
            Self::V1Whsec => whsec(text.strip_prefix(b"v1,").unwrap_or(text)),
            Self::Sha1 => Some(Sha1::digest(text).to_vec()),
            Self::Sha256 => Some(Sha256::digest(text).to_vec()),
            Self::Strip(pattern) => {
                std::str::from_utf8(text).ok().map(|text| pattern.replace(text, "").into_owned().into_bytes())
            }
            Self::Pem | Self::X509 | Self::Jwk | Self::AnyPublic => None,
        };
        let bytes = Zeroizing::new(bytes.ok_or(KeyFault::Unreadable(self.name()))?);
        if bytes.is_empty() { Err(KeyFault::Empty) } else { Ok(bytes) }
    }

    /// Returns the fault with the form that the text was to have.
    fn named(&self, fault: KeyFault) -> KeyFault {
        if let KeyFault::Unreadable(_) = fault { KeyFault::Unreadable(self.name()) } else { fault }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Utf8 | Self::Nfkd | Self::Strip(_) | Self::Sha1 | Self::Sha256 => "text",
            Self::Base64 | Self::RawBase64 => "base64",
            Self::Hex | Self::RawHex => "hexadecimal",
            Self::Whsec => "base64 with or without `whsec_` in front",
            Self::V1Whsec => "base64 with or without `v1,whsec_` in front",
            Self::Pem => "a PEM public key",
            Self::X509 => "a PEM certificate",
            Self::Jwk => "a JWK or a JWK set",
            Self::AnyPublic => "a public key in PEM, a certificate in PEM, a JWK or a JWK set",
            Self::SpkiBase64 => "a public key in base64 (SubjectPublicKeyInfo)",
        }
    }
}

fn whsec(text: &[u8]) -> Option<Vec<u8>> {
    base64(text.strip_prefix(b"whsec_").unwrap_or(text))
}

/// Decodes base64. The padding may be absent: a double click on a page often leaves it behind, and the length says as
/// much.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).or_else(|_padding| BASE64_NOPAD.decode(text)).ok()
}

/// A secret, ready for use in one block.
#[derive(Clone)]
pub(super) enum BlockKey {
    Mac(Box<KeyedMac>),
    /// Public keys, perhaps with ids.
    Set(Arc<KeySet>),
    /// The secret as it is sent or hashed.
    Plain(Zeroizing<Vec<u8>>),
    /// A secret outside its validity: it holds its place, and nothing is right under it.
    Invalid,
}

impl fmt::Debug for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl BlockKey {
    pub(super) fn load(block: &Block, secret: &Secret) -> Result<Self, KeyProblem> {
        let refused = |fault| KeyProblem::Secret { name: secret.name().clone(), fault };
        let text = secret.expose();
        let signed = match &block.proof {
            Proof::Token(_) => return Ok(Self::Plain(Zeroizing::new(text.to_vec()))),
            Proof::Jwt(jwt) => return Self::load_jwt(jwt, text).map_err(refused),
            Proof::Code(special) => return Self::load_special(*special, secret).map_err(refused),
            Proof::Signed(signed) => signed,
        };
        match &signed.primitive {
            Primitive::Digest(_) => Ok(Self::Plain(Zeroizing::new(text.to_vec()))),
            Primitive::Hmac(algorithm, form) => {
                form.read(text).map(|key| Self::Mac(Box::new(KeyedMac::new(*algorithm, &key)))).map_err(refused)
            }
            Primitive::Signature(algorithm, form) => {
                form.public(&[*algorithm], text).map(|keys| Self::Set(Arc::new(keys))).map_err(refused)
            }
        }
    }
}

/// Makes a keyed hash of a secret in its form; `None` if the secret is not in the form.
pub(super) fn hmac_key(algorithm: super::mac::MacAlgorithm, form: &KeyForm, secret: &[u8]) -> Option<KeyedMac> {
    form.read(secret).ok().map(|key| KeyedMac::new(algorithm, &key))
}
/// The length of an AES-128 key.
const AES_128_BYTES: usize = 16;

impl BlockKey {
    fn load_jwt(jwt: &Jwt, text: &[u8]) -> Result<Self, KeyFault> {
        let public = |algorithm: &JwsAlgorithm| match algorithm {
            JwsAlgorithm::Public(algorithm) => Some(*algorithm),
            JwsAlgorithm::Mac(_) => None,
        };
        let public: Vec<_> = jwt.algorithms.iter().filter_map(public).collect();
        if public.is_empty() {
            return jwt.key.read(text).map(Self::Plain);
        }
        jwt.key.public(&public, text).map(|keys| Self::Set(Arc::new(keys)))
    }

    fn load_special(special: Special, secret: &Secret) -> Result<Self, KeyFault> {
        match special.needs().secrets {
            SecretForm::Aes128 if secret.expose().len() != AES_128_BYTES => Err(KeyFault::Length),
            SecretForm::Text | SecretForm::Aes128 => Ok(Self::Plain(Zeroizing::new(secret.expose().to_vec()))),
            SecretForm::Public => KeySet::from_any(secret.expose()).map(|keys| Self::Set(Arc::new(keys))),
            // A text that is neither PEM nor JSON is not a key but a token for handshakes.
            SecretForm::PublicByName if !is_written_as_key(secret.expose()) => Ok(Self::Invalid),
            SecretForm::PublicByName => {
                let keys = KeySet::from_any(secret.expose())?.called(secret.name().as_str());
                Ok(Self::Set(Arc::new(keys)))
            }
        }
    }
}

/// Returns whether a text looks like a key, even a broken one.
fn is_written_as_key(text: &[u8]) -> bool {
    text.starts_with(b"-----") || text.starts_with(b"{")
}

/// The reason why a verifier cannot be made of a scheme and its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// The scheme needs a secret and there is none.
    NoSecrets,
    /// A secret is not a key.
    Secret {
        /// The secret's name.
        name: SecretName,
        /// The secret's fault.
        fault: KeyFault,
    },
    /// A value that the signed text contains is not configured.
    NoContext(String),
}

/// The reason why the text of a secret is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not in the form that the scheme prescribes.
    Unreadable(&'static str),
    /// Nothing is left after decoding.
    Empty,
    /// Not as long as a key of this algorithm.
    Length,
    /// Not a point on the curve.
    NotOnCurve,
    /// A point of small order, with which anyone can sign.
    Weak,
    /// A key, but for another algorithm.
    OtherAlgorithm,
    /// A key that is expired, private or for another use.
    NotForSignatures,
    /// More keys than are read.
    TooMany,
    /// A certificate outside its dates.
    Expired,
    /// A certificate for another name.
    OtherName,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecrets => f.write_str("no secret is configured, and without one anyone could sign"),
            Self::Secret { name, fault } => write!(f, "the secret `{name}` {fault}"),
            Self::NoContext(label) => write!(f, "the signed text contains `{label}`, which is not configured"),
        }
    }
}

impl std::error::Error for KeyProblem {}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(form) => write!(f, "is not {form}"),
            Self::Empty => f.write_str("is empty after decoding"),
            Self::Length => f.write_str("has the wrong length for a key"),
            Self::NotOnCurve => f.write_str("is not a public key of this algorithm"),
            Self::Weak => f.write_str("is a weak public key, under which anyone can sign"),
            Self::OtherAlgorithm => f.write_str("is a key for another algorithm"),
            Self::NotForSignatures => f.write_str("is expired, private, or a key for another use"),
            Self::TooMany => f.write_str("holds too many keys"),
            Self::Expired => f.write_str("is a certificate outside its dates"),
            Self::OtherName => f.write_str("is a certificate for another name"),
        }
    }
}
