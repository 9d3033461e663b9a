//! Algorithms by the names that rows and tokens give them.
//!
//! A closed list. The meaning of each name stands here only; the kinds of proof that may use it, in `compile.rs`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::jws::JwsAlgorithm;
use super::mac::MacAlgorithm;
use super::public::SignatureAlgorithm;

/// Hash and signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Ed25519,
    #[serde(rename = "ecdsa-sha256")]
    EcdsaSha256,
    /// PKCS #1 v1.5.
    #[serde(rename = "rsa-sha1")]
    RsaSha1,
    #[serde(rename = "rsa-sha256")]
    RsaSha256,
    #[serde(rename = "rsa-sha512")]
    RsaSha512,
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
    /// HMAC with SHA-256. From here on, the names are those of JWTs.
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "HS384")]
    Hs384,
    #[serde(rename = "HS512")]
    Hs512,
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "RS384")]
    Rs384,
    #[serde(rename = "RS512")]
    Rs512,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "PS384")]
    Ps384,
    #[serde(rename = "PS512")]
    Ps512,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "ES384")]
    Es384,
    #[serde(rename = "ES512")]
    Es512,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// An algorithm with its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Hash(MacAlgorithm),
    Signature(SignatureAlgorithm),
    Jws(JwsAlgorithm),
}

impl Algorithm {
    /// Returns the name in rows.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Ed25519 => "ed25519",
            Self::EcdsaSha256 => "ecdsa-sha256",
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha512 => "rsa-sha512",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns the algorithm with its family.
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
