//! The laws of ten schemes, implemented independently of the engine: signing as the provider does, and reading
//! requests.

mod bare;
mod listed;
mod livekit;
mod public;
mod twilio;

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use hookgate::provider::{Verifier, builtin};
use hookgate::secret::{Secret, SecretName};
use rand::RngExt;
use rand::rngs::StdRng;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::oracle::{Hand, Law};

/// Returns every law.
pub(crate) fn all() -> Vec<Box<dyn Law>> {
    vec![
        Box::new(bare::github()),
        Box::new(bare::shopify()),
        Box::new(bare::slack()),
        Box::new(listed::stripe()),
        Box::new(listed::paddle()),
        Box::new(listed::standardwebhooks()),
        Box::new(twilio::Twilio::new()),
        Box::new(public::discord()),
        Box::new(public::sendgrid()),
        Box::new(livekit::LiveKit::new()),
    ]
}

/// Returns the verifier of a built-in row with these secrets.
pub(crate) fn verifier(row: &str, secrets: &[&str], context: &[(&str, &str)]) -> Verifier {
    let scheme = builtin().get(row).unwrap().scheme().clone();
    let secret = |text: &&str| Secret::new(SecretName::new(text), text.as_bytes().to_vec()).unwrap();
    let context: BTreeMap<_, _> = context.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Verifier::new(scheme, secrets.iter().map(secret).collect(), context).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn mac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, text),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, text),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, text),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Two shared secrets: their keys, and wrong readings of the key.
pub(crate) struct Shared {
    pub(crate) verifier: Verifier,
    pub(crate) keys: [Vec<u8>; 2],
    pub(crate) other_reading: Vec<u8>,
    /// A hash that the law does not accept.
    pub(crate) other_hash: Hash,
}

impl Shared {
    /// Returns the MACs of a signer. `hash` is that of the law.
    pub(crate) fn macs(&self, hash: Hash, hand: Hand, text: &[u8]) -> Vec<Vec<u8>> {
        match hand {
            Hand::Provider(number) => vec![hash.mac(&self.keys[number], text)],
            Hand::Both => self.keys.iter().map(|key| hash.mac(key, text)).collect(),
            Hand::Empty => vec![hash.mac(b"", text)],
            Hand::OtherReading => vec![hash.mac(&self.other_reading, text)],
            Hand::Stranger => vec![hash.mac(b"a key of my own", text)],
            Hand::OtherAlgorithm => {
                let mut mac = self.other_hash.mac(&self.keys[0], text);
                mac.truncate(hash.bytes());
                vec![mac]
            }
        }
    }
}

/// Creates a small JSON event, sometimes with bytes that break parsers.
pub(crate) fn json(rng: &mut StdRng) -> Vec<u8> {
    let (id, amount): (u32, u16) = (rng.random(), rng.random());
    let end = ["", "\r\n", " ", "\u{feff}"][rng.random_range(0..4_usize)];
    let text = ["Zoë", "a\\/b", "caf\\u00e9", "", "1.0"][rng.random_range(0..5_usize)];
    let mut body = format!(
        "{{\"id\":\"evt_{id}\",\"type\":\"order.paid\",\"data\":{{\"amount\":{amount}, \"name\":\"{text}\"}}}}{end}"
    )
    .into_bytes();
    match rng.random_range(0..40_u8) {
        0 | 1 => body.push(0xff),
        2 => drop(body.splice(..0, *b"\xef\xbb\xbf")),
        _ => {}
    }
    body
}
