//! From the configured text of a secret to the bytes of a key.
//!
//! Invariants: no key is empty, before or after decoding, because anyone can sign with an empty key; a public key of
//! small order is refused; problems name the secret and never show its bytes.
//!
//! Keys that have to be fetched (JWKS, certificates by URL) are not here: fetching needs a pinned host and a cache.

use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use p256::pkcs8::DecodePublicKey;
use regex::Regex;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::block::{Block, Primitive, Proof};
use super::keyset::{KeySet, NamedKey};
use super::mac::{KeyedMac, PublicKey, SignatureAlgorithm};
use super::special::{SecretForm, Special};
use crate::secret::{Secret, SecretName};

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How the text of a secret becomes a key.
#[derive(Clone, Debug)]
pub(super) enum KeyForm {
    Utf8,
    Base64,
    Hex,
    /// An optional `whsec_`, then base64.
    Whsec,
    Sha1,
    Sha256,
    /// Text in Unicode's compatibility form.
    Nfkd,
    /// The text without what the expression matches.
    Strip(Regex),
    Pem,
    SpkiBase64,
    RawHex,
    RawBase64,
}

/// The written form of a key is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownKeyForm {
    is_public: bool,
}

impl fmt::Display for UnknownKeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_public {
            "a public key is pem, spki-b64, raw-hex or raw-b64"
        } else {
            "a key is utf8, base64, hex, whsec, sha1, sha256, nfkd or strip:<regular expression>"
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
            ("sha1", false) => Self::Sha1,
            ("sha256", false) => Self::Sha256,
            ("nfkd", false) => Self::Nfkd,
            ("pem", true) => Self::Pem,
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

    /// The bytes that the text stands for.
    fn read(&self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let bytes = match self {
            Self::Utf8 => Some(text.to_vec()),
            Self::Nfkd if text.is_ascii() => Some(text.to_vec()),
            Self::Nfkd => return Err(KeyFault::NotAscii),
            Self::Base64 | Self::RawBase64 | Self::SpkiBase64 => BASE64.decode(text).ok(),
            Self::Hex | Self::RawHex => HEXLOWER_PERMISSIVE.decode(text).ok(),
            Self::Whsec => BASE64.decode(text.strip_prefix(b"whsec_").unwrap_or(text)).ok(),
            Self::Sha1 => Some(Sha1::digest(text).to_vec()),
            Self::Sha256 => Some(Sha256::digest(text).to_vec()),
            Self::Strip(pattern) => {
                std::str::from_utf8(text).ok().map(|text| pattern.replace(text, "").into_owned().into_bytes())
            }
            Self::Pem => pem_body(text),
        };
        let bytes = Zeroizing::new(bytes.ok_or(KeyFault::Unreadable(self.name()))?);
        if bytes.is_empty() { Err(KeyFault::Empty) } else { Ok(bytes) }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Utf8 | Self::Nfkd | Self::Strip(_) | Self::Sha1 | Self::Sha256 => "text",
            Self::Base64 | Self::RawBase64 => "base64",
            Self::Hex | Self::RawHex => "hexadecimal",
            Self::Whsec => "base64 with or without `whsec_` in front",
            Self::Pem => "a PEM public key",
            Self::SpkiBase64 => "a public key in base64 (SubjectPublicKeyInfo)",
        }
    }
}

/// What stands between the BEGIN and END lines of a PEM public key.
fn pem_body(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let base64: String = body.split_ascii_whitespace().collect();
    BASE64.decode(base64.as_bytes()).ok()
}

/// A secret, ready for use in one block.
#[derive(Clone)]
pub(super) enum Key {
    Mac(KeyedMac),
    Public(PublicKey),
    /// Public keys that go by ids.
    Set(Arc<KeySet>),
    /// The secret as it is sent or hashed.
    Plain(Zeroizing<Vec<u8>>),
    /// A secret outside its validity: it holds its place, and nothing is right under it.
    Invalid,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(super) fn load(block: &Block, secret: &Secret) -> Result<Self, KeyProblem> {
        let refused = |fault| KeyProblem::Secret { name: secret.name().clone(), fault };
        let text = secret.expose();
        let signed = match &block.proof {
            Proof::Token(_) => return Ok(Self::Plain(Zeroizing::new(text.to_vec()))),
            Proof::Code(special) => return Self::load_special(*special, secret).map_err(refused),
            Proof::Signed(signed) => signed,
        };
        match &signed.primitive {
            Primitive::Digest(_) => Ok(Self::Plain(Zeroizing::new(text.to_vec()))),
            Primitive::Hmac(algorithm, form) => {
                form.read(text).map(|key| Self::Mac(KeyedMac::new(*algorithm, &key))).map_err(refused)
            }
            Primitive::Signature(algorithm, form) => {
                public_key(*algorithm, form, text).map(Self::Public).map_err(refused)
            }
        }
    }
}

impl Key {
    fn load_special(special: Special, secret: &Secret) -> Result<Self, KeyFault> {
        match special.needs().secrets {
            SecretForm::Text => Ok(Self::Plain(Zeroizing::new(secret.expose().to_vec()))),
            SecretForm::Public => {
                let key = public_key(SignatureAlgorithm::EcdsaP256, &KeyForm::Pem, secret.expose())?;
                let named = NamedKey { id: Some(secret.name().as_str().to_owned()), key };
                Ok(Self::Set(Arc::new(KeySet { keys: vec![named] })))
            }
        }
    }
}

fn public_key(algorithm: SignatureAlgorithm, form: &KeyForm, text: &[u8]) -> Result<PublicKey, KeyFault> {
    let bytes = form.read(text)?;
    let wrapped = matches!(form, KeyForm::Pem | KeyForm::SpkiBase64);
    let unfit = KeyFault::Unreadable(form.name());
    match algorithm {
        SignatureAlgorithm::Ed25519 => {
            let raw = if wrapped { bytes.strip_prefix(&ED25519_SPKI_PREFIX).ok_or(unfit)? } else { &bytes };
            let raw: &[u8; 32] = raw.try_into().ok().ok_or(KeyFault::Length)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(raw).ok().ok_or(KeyFault::NotOnCurve)?;
            if key.is_weak() { Err(KeyFault::Weak) } else { Ok(PublicKey::Ed25519(key)) }
        }
        SignatureAlgorithm::EcdsaP256 => {
            let key = if wrapped {
                p256::ecdsa::VerifyingKey::from_public_key_der(&bytes).ok()
            } else {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&bytes).ok()
            };
            key.map(PublicKey::EcdsaP256).ok_or(KeyFault::NotOnCurve)
        }
    }
}

/// Why a verifier cannot be made of a scheme and its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// The scheme needs a secret and there is none.
    NoSecrets,
    /// A secret is not a key.
    Secret {
        /// Which secret.
        name: SecretName,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// A value that the signed text contains is not configured.
    NoContext(String),
}

/// Why the text of a secret is not a key.
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
    /// Letters beyond ASCII, whose normal form is not implemented.
    NotAscii,
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
            Self::NotAscii => f.write_str("has letters beyond ASCII, which this key form does not support"),
        }
    }
}
