//! Public keys and the signatures that they verify.
//!
//! Closed enums; the algorithm comes from the scheme, never from the key or the request, and a key of another kind
//! verifies nothing. Ed25519 is strict (RFC 8032, no small-order keys). ECDSA takes strict DER where headers have it and
//! fixed-length `r‖s` where JWTs have it, with either half of `s`, because real deliveries have both; `r` or `s` of zero
//! is refused. RSA keys have 2048 to 8192 bits.

use std::fmt;
use std::sync::Arc;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature::{self as rsa, RsaParameters, RsaPublicKeyComponents};

use super::mac::MacAlgorithm;
use super::message::MessageBytes;

/// A public-key signature: the scheme, the hash, and the written form of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Ed25519,
    /// P-256 with SHA-1, in DER. One provider has it.
    EcdsaSha1,
    /// P-256 with SHA-256, in DER.
    EcdsaSha256,
    /// P-256 with SHA-256, as `r‖s`.
    Es256,
    /// P-384 with SHA-384, as `r‖s`.
    Es384,
    /// P-521 with SHA-512, as `r‖s`.
    Es512,
    /// PKCS #1 v1.5 from here on.
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    /// PSS with a salt as long as the hash from here on.
    PssSha256,
    PssSha384,
    PssSha512,
}

impl SignatureAlgorithm {
    /// Returns the length of a signature; `None` if it varies.
    pub(super) fn signature_bytes(self) -> Option<usize> {
        match self {
            Self::Ed25519 | Self::Es256 => Some(64),
            Self::Es384 => Some(96),
            Self::Es512 => Some(132),
            Self::EcdsaSha1
            | Self::EcdsaSha256
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::PssSha256
            | Self::PssSha384
            | Self::PssSha512 => None,
        }
    }

    /// Returns the name that a JWK may pin, if there is one.
    pub(super) fn jwa(self) -> Option<&'static str> {
        Some(match self {
            Self::Ed25519 => "EdDSA",
            Self::EcdsaSha256 | Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::RsaSha256 => "RS256",
            Self::RsaSha384 => "RS384",
            Self::RsaSha512 => "RS512",
            Self::PssSha256 => "PS256",
            Self::PssSha384 => "PS384",
            Self::PssSha512 => "PS512",
            Self::EcdsaSha1 | Self::RsaSha1 => return None,
        })
    }

    /// Returns the parameters of RSA; `None` for other algorithms.
    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::RsaSha1 => &rsa::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &rsa::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &rsa::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &rsa::RSA_PKCS1_2048_8192_SHA512,
            Self::PssSha256 => &rsa::RSA_PSS_2048_8192_SHA256,
            Self::PssSha384 => &rsa::RSA_PSS_2048_8192_SHA384,
            Self::PssSha512 => &rsa::RSA_PSS_2048_8192_SHA512,
            Self::Ed25519 | Self::EcdsaSha1 | Self::EcdsaSha256 | Self::Es256 | Self::Es384 | Self::Es512 => {
                return None;
            }
        })
    }
}

/// A key that signatures are verified with.
#[derive(Clone)]
pub(super) enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
    /// The point, uncompressed.
    P384(Arc<[u8]>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Rsa(Arc<RsaKey>),
}

/// Modulus and exponent, without leading zeros.
pub(super) struct RsaKey {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

impl PublicKey {
    /// Returns whether the key is one for this algorithm.
    pub(super) fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        match self {
            Self::Ed25519(_) => algorithm == SignatureAlgorithm::Ed25519,
            Self::P256(_) => matches!(
                algorithm,
                SignatureAlgorithm::EcdsaSha1 | SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::Es256
            ),
            Self::P384(_) => algorithm == SignatureAlgorithm::Es384,
            Self::P521(_) => algorithm == SignatureAlgorithm::Es512,
            Self::Rsa(_) => algorithm.rsa().is_some(),
        }
    }

    /// Returns whether any of the signatures is right. The text is put together once for all of them.
    pub(super) fn verifies_any<'s>(
        &self,
        algorithm: SignatureAlgorithm,
        pieces: &[MessageBytes<'_>],
        mut signatures: impl Iterator<Item = &'s [u8]>,
    ) -> bool {
        match (self, algorithm) {
            (Self::Ed25519(key), SignatureAlgorithm::Ed25519) => {
                let text = pieces.concat();
                signatures.any(|signature| {
                    let signature = ed25519_dalek::Signature::from_slice(signature);
                    signature.is_ok_and(|signature| key.verify_strict(&text, &signature).is_ok())
                })
            }
            (Self::P256(key), SignatureAlgorithm::EcdsaSha1) => {
                verifies_der(key, &MacAlgorithm::Sha1.hash(pieces), signatures)
            }
            (Self::P256(key), SignatureAlgorithm::EcdsaSha256) => {
                verifies_der(key, &MacAlgorithm::Sha256.hash(pieces), signatures)
            }
            (Self::P256(key), SignatureAlgorithm::Es256) => {
                let digest = MacAlgorithm::Sha256.hash(pieces);
                signatures.any(|signature| {
                    let signature = p256::ecdsa::Signature::from_slice(signature);
                    signature.is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
                })
            }
            (Self::P384(point), SignatureAlgorithm::Es384) => {
                let key = rsa::UnparsedPublicKey::new(&rsa::ECDSA_P384_SHA384_FIXED, point);
                let text = pieces.concat();
                signatures.any(|signature| key.verify(&text, signature).is_ok())
            }
            (Self::P521(key), SignatureAlgorithm::Es512) => {
                let digest = MacAlgorithm::Sha512.hash(pieces);
                signatures.any(|signature| {
                    let signature = p521::ecdsa::Signature::from_slice(signature);
                    signature.is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
                })
            }
            (Self::Rsa(key), algorithm) => {
                let Some(parameters) = algorithm.rsa() else { return false };
                let key = RsaPublicKeyComponents { n: key.modulus.as_slice(), e: key.exponent.as_slice() };
                let text = pieces.concat();
                signatures.any(|signature| key.verify(parameters, &text, signature).is_ok())
            }
            _ => false,
        }
    }
}

fn verifies_der<'s>(
    key: &p256::ecdsa::VerifyingKey,
    digest: &[u8],
    mut signatures: impl Iterator<Item = &'s [u8]>,
) -> bool {
    signatures.any(|signature| {
        let signature = p256::ecdsa::Signature::from_der(signature);
        signature.is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
    })
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "PublicKey(Ed25519)",
            Self::P256(_) => "PublicKey(P-256)",
            Self::P384(_) => "PublicKey(P-384)",
            Self::P521(_) => "PublicKey(P-521)",
            Self::Rsa(_) => "PublicKey(RSA)",
        })
    }
}
