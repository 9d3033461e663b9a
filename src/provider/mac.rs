//! Keyed hashes and plain hashes.
//!
//! A closed enum, chosen by the scheme and never by the request. A keyed hash is expanded once, when its key is loaded,
//! and cloned per message. Comparison is in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::message::MessageBytes;

/// A hash, plain or keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MacAlgorithm {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl MacAlgorithm {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Returns the plain hash of the pieces.
    pub(super) fn hash(self, pieces: &[MessageBytes<'_>]) -> Vec<u8> {
        match self {
            Self::Md5 => hash::<Md5>(pieces),
            Self::Sha1 => hash::<Sha1>(pieces),
            Self::Sha256 => hash::<Sha256>(pieces),
            Self::Sha384 => hash::<Sha384>(pieces),
            Self::Sha512 => hash::<Sha512>(pieces),
        }
    }
}

/// A keyed hash with its key schedule expanded.
#[derive(Clone)]
pub(super) enum KeyedMac {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl KeyedMac {
    pub(super) fn new(algorithm: MacAlgorithm, key: &[u8]) -> Self {
        match algorithm {
            MacAlgorithm::Md5 => Self::Md5(keyed(key)),
            MacAlgorithm::Sha1 => Self::Sha1(keyed(key)),
            MacAlgorithm::Sha256 => Self::Sha256(keyed(key)),
            MacAlgorithm::Sha384 => Self::Sha384(keyed(key)),
            MacAlgorithm::Sha512 => Self::Sha512(keyed(key)),
        }
    }

    pub(super) fn tag(&self, pieces: &[MessageBytes<'_>]) -> Vec<u8> {
        match self {
            Self::Md5(mac) => tag(mac, pieces),
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

fn tag<M: Mac + Clone>(keyed: &M, pieces: &[MessageBytes<'_>]) -> Vec<u8> {
    let mut mac = keyed.clone();
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}

fn hash<D: Digest>(pieces: &[MessageBytes<'_>]) -> Vec<u8> {
    let mut hash = D::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize().to_vec()
}

/// Returns whether two byte strings are equal, in a time that depends on their lengths only.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}
