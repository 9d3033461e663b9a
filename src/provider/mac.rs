//! The algorithms: keyed hashes, plain hashes, public-key signatures.
//!
//! Closed enums, chosen by the scheme and never by the request. A keyed hash is expanded once, when its key is loaded,
//! and cloned per message. Comparison is in constant time. Ed25519 is strict (RFC 8032, no small-order keys); ECDSA takes
//! strict DER and either half of `s`, because real deliveries have both.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::block::Primitive;
use super::message::Bytes;

/// A hash, plain or keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacAlgorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A public-key signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Ed25519,
    EcdsaP256,
}

impl MacAlgorithm {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The plain hash of the pieces.
    pub(super) fn hash(self, pieces: &[Bytes<'_>]) -> Vec<u8> {
        match self {
            Self::Sha1 => hash::<Sha1>(pieces),
            Self::Sha256 => hash::<Sha256>(pieces),
            Self::Sha384 => hash::<Sha384>(pieces),
            Self::Sha512 => hash::<Sha512>(pieces),
        }
    }
}

impl Primitive {
    /// How long a signature is; `None` where it varies.
    pub(super) fn signature_bytes(&self) -> Option<usize> {
        match self {
            Self::Hmac(algorithm, _) | Self::Digest(algorithm) => Some(algorithm.bytes()),
            Self::Signature(SignatureAlgorithm::Ed25519, _) => Some(64),
            Self::Signature(SignatureAlgorithm::EcdsaP256, _) => None,
        }
    }
}

/// A keyed hash with its key schedule expanded.
#[derive(Clone)]
pub(super) enum KeyedMac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl KeyedMac {
    pub(super) fn new(algorithm: MacAlgorithm, key: &[u8]) -> Self {
        match algorithm {
            MacAlgorithm::Sha1 => Self::Sha1(keyed(key)),
            MacAlgorithm::Sha256 => Self::Sha256(keyed(key)),
            MacAlgorithm::Sha384 => Self::Sha384(keyed(key)),
            MacAlgorithm::Sha512 => Self::Sha512(keyed(key)),
        }
    }

    pub(super) fn tag(&self, pieces: &[Bytes<'_>]) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => tag(mac, pieces),
            Self::Sha256(mac) => tag(mac, pieces),
            Self::Sha384(mac) => tag(mac, pieces),
            Self::Sha512(mac) => tag(mac, pieces),
        }
    }
}

impl fmt::Debug for KeyedMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedMac(…)")
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn tag<M: Mac + Clone>(keyed: &M, pieces: &[Bytes<'_>]) -> Vec<u8> {
    let mut mac = keyed.clone();
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hash<D: Digest>(pieces: &[Bytes<'_>]) -> Vec<u8> {
    let mut hash = D::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize().to_vec()
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// A key that signatures are verified with.
#[derive(Clone)]
pub(super) enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    EcdsaP256(p256::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Whether any of the signatures is right. The text is put together once for all of them.
    pub(super) fn verifies_any<'s>(
        &self,
        pieces: &[Bytes<'_>],
        mut signatures: impl Iterator<Item = &'s [u8]>,
    ) -> bool {
        match self {
            Self::Ed25519(key) => {
                let text = pieces.concat();
                signatures.any(|signature| {
                    let signature = ed25519_dalek::Signature::from_slice(signature);
                    signature.is_ok_and(|signature| key.verify_strict(&text, &signature).is_ok())
                })
            }
            Self::EcdsaP256(key) => {
                let digest = hash::<Sha256>(pieces);
                signatures.any(|signature| {
                    let signature = p256::ecdsa::Signature::from_der(signature);
                    signature.is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
                })
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "PublicKey(Ed25519)",
            Self::EcdsaP256(_) => "PublicKey(ECDSA P-256)",
        })
    }
}
